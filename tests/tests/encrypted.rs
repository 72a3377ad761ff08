//! TLS on every connection: control, flows, questions, and the target's lanes.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scenarios::logical::{read_server, wait_equal};
use scenarios::program::{Df2redis, Settings, number};
use scenarios::servers::{Certificates, RedisOptions, RedisServer, Simulated, TlsFront};
use scenarios::workload::{Mode, Options, Workload, fill, seed};

const READY: Duration = Duration::from_secs(60);

#[test]
fn both_sides_behind_tls_with_client_certificates() {
    let seed = seed();
    let certificates = Certificates::generate();
    let source = Simulated::start();
    let front = TlsFront::start(&source.addr(), &certificates);
    let target = RedisServer::start(RedisOptions {
        tls: Some(certificates.clone()),
        require_client_certificate: true,
        ..RedisOptions::default()
    });
    fill(&source.endpoint(), 5_000, &[0, 1], seed);
    let mut settings = Settings::replicate(&front.addr(), "redis-standalone", &[target.tls_addr()]);
    for side in ["source", "target"] {
        settings = settings
            .set(&format!("{side}.tls.ca_file"), certificates.ca_file.to_string_lossy())
            .set(&format!("{side}.tls.cert_file"), certificates.client_cert.to_string_lossy())
            .set(&format!("{side}.tls.key_file"), certificates.client_key.to_string_lossy())
            .set(&format!("{side}.tls.server_name"), "localhost");
    }
    let options = Options { rate: Some(3_000), ..Options::new(Mode::Full, seed) };
    let writer = Workload::start(&source.endpoint(), options);
    let mut program = Df2redis::replicate(settings.set("checkpoint.interval", 1));
    program.wait_ready(READY);
    writer.wait_for(2_000);
    assert_eq!(program.terminate().code(), 0);
    program.again();
    program.wait_ready(READY);
    writer.wait_for(1_000);
    writer.stop().assert_no_surprise();
    let (from, to) = (source.endpoint(), target.endpoint());
    wait_equal(READY, || read_server(&from), || read_server(&to));
    assert_eq!(number(&program.status().unwrap(), "partial_syncs"), 1);
}
