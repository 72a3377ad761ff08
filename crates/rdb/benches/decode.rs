//! Entries per second of the commonest stream: small strings in LZ4 blobs.
//!
//! `cargo bench -p rdb` builds a stream of a million strings of 100 bytes as a v1.40 master with default settings
//! writes it (a flush every 8 KiB and more, SELECTDB after each), and decodes it from buffers of 64 KiB.

use std::hint::black_box;
use std::io::Write;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
use rdb::{Decoder, Item, Limits};

const ENTRIES: usize = 1_000_000;

fn len(out: &mut Vec<u8>, n: usize) {
    match n {
        0..64 => out.push(n as u8),
        64..16_384 => out.extend([0x40 | (n >> 8) as u8, n as u8]),
        _ => {
            out.push(0x80);
            out.extend((n as u32).to_be_bytes());
        }
    }
}

fn stream(flush: usize, compressed: bool) -> Bytes {
    let mut out = b"REDIS0009".to_vec();
    let mut blob = Vec::new();
    let mut state = 1u64;
    for i in 0..ENTRIES {
        if blob.is_empty() {
            blob.extend([0xfe, 0]);
        }
        blob.push(0);
        let key = format!("key:{i:012}");
        len(&mut blob, key.len());
        blob.extend(key.as_bytes());
        len(&mut blob, 100);
        for _ in 0..25 {
            // Half random: LZ4 finds something, but not everything.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            blob.extend([b'a' + (state >> 60) as u8, b'0' + (state >> 61) as u8, b'v', b'-']);
        }
        if blob.len() >= flush || i + 1 == ENTRIES {
            if compressed {
                let info =
                    FrameInfo::new().block_size(BlockSize::Max64KB).content_size(Some(blob.len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(&blob).expect("a vector takes everything");
                let frame = encoder.finish().expect("a vector takes everything");
                out.push(0xca);
                len(&mut out, frame.len());
                out.extend(frame);
            } else {
                out.extend(&blob);
            }
            blob.clear();
        }
    }
    out.extend([0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.extend([b'0'; 40]);
    out.into()
}

fn decode(stream: &Bytes) -> usize {
    let mut decoder = Decoder::new(Limits::default());
    let mut entries = 0;
    for start in (0..stream.len()).step_by(64 << 10) {
        decoder.feed(stream.slice(start..stream.len().min(start + (64 << 10))));
        while let Some(item) = decoder.next().expect("the stream is sound") {
            if let Item::Value(value) = item {
                entries += usize::from(black_box(value).payload.len() == 102);
            }
        }
    }
    assert_eq!(entries, ENTRIES);
    entries
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("strings of 100 bytes");
    group.sample_size(10).throughput(Throughput::Elements(ENTRIES as u64));
    for (name, flush, compressed) in [
        ("lz4, flush at 8 KiB", 8 << 10, true),
        ("lz4, flush at 256 KiB", 256 << 10, true),
        ("plain", 8 << 10, false),
    ] {
        let stream = stream(flush, compressed);
        group.bench_function(name, |bencher| bencher.iter(|| decode(&stream)));
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
