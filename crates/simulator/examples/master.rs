//! Runs a live master in the foreground: `cargo run -p simulator --example master -- 127.0.0.1:6399 3 [1.34]`. A release
//! is chosen by the beginning of its number, or `dev`.

use simulator::{Release, Simulator};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let bind = args.first().map_or("127.0.0.1:6399", String::as_str);
    let shards = args.get(1).map_or(Ok(2), |n| n.parse())?;
    let wanted = |release: &&Release| {
        let number = release.version().trim_start_matches("df-").trim_start_matches('v');
        args.get(2).is_some_and(|wanted| number.starts_with(wanted.as_str()))
    };
    let release = Release::ALL.iter().find(wanted).copied().unwrap_or_default();
    let master = Simulator::builder().bind(bind).shards(shards).release(release).start().await?;
    println!("{} {}", master.addr(), master.replication_id());
    tokio::signal::ctrl_c().await?;
    master.stop().await;
    Ok(())
}
