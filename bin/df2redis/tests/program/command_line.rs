//! The program as it is called: exit code, and what exactly it says.

use crate::support::{Run, checkpoint_at, config, run};

/// A usage error: exit 64, one line on stderr, nothing on stdout.
#[track_caller]
fn refused(args: &[&str], line: &str) {
    let Run { code, stdout, stderr } = run(args);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (64, "", format!("{line}\n").as_str()), "{args:?}");
}

#[test]
fn version_and_help_end_well() {
    let version = concat!("df2redis ", env!("CARGO_PKG_VERSION"), "\n");
    for args in [["version"], ["--version"], ["-V"]] {
        let Run { code, stdout, stderr } = run(&args);
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, version, ""), "{args:?}");
    }
    for args in [&["help"][..], &["--help"], &["replicate", "--help"], &["help", "checkpoint", "show"]] {
        let Run { code, stdout, stderr } = run(args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        assert!(stdout.contains("Usage: df2redis"), "{args:?}: {stdout}");
    }
}

#[test]
fn help_shows_only_what_there_is() {
    let help = run(&["help"]).stdout;
    for command in ["replicate", "migrate", "check", "status", "checkpoint", "dashboard", "demo", "version"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is missing in\n{help}");
    }
    assert!(!help.contains("\n  cold-import"), "it stands in\n{help}");
}

#[test]
fn usage_errors_are_one_line_and_exit_64() {
    refused(&[], "df2redis: a command is missing; see `df2redis help`");
    refused(&["checkpoint"], "df2redis: a command is missing; see `df2redis help checkpoint`");
    refused(&["fly"], "df2redis: unrecognized subcommand 'fly'; see `df2redis help`");
    refused(
        &["replicat"],
        "df2redis: unrecognized subcommand 'replicat'; tip: a similar subcommand exists: 'replicate'; see `df2redis help`",
    );
    refused(
        &["replicate"],
        "df2redis: the following required arguments were not provided: --config <FILE>; see `df2redis help replicate`",
    );
    refused(
        &["replicate", "--fast"],
        "df2redis: unexpected argument '--fast' found; see `df2redis help replicate`",
    );
    refused(
        &["migrate", "--source", "redis://a"],
        "df2redis: the following required arguments were not provided: --target <URL>; see `df2redis help migrate`",
    );
    refused(
        &["status", "--config", "a", "--source", "redis://a", "--target", "redis://b"],
        "df2redis: the argument '--config <FILE>' cannot be used with: --source <URL>; --target <URL>; see `df2redis help status`",
    );
    refused(
        &["checkpoint", "show", "--config"],
        "df2redis: a value is required for '--config <FILE>' but none was supplied; see `df2redis help`",
    );
    refused(&["demo", "--fast"], "df2redis: unexpected argument '--fast' found; see `df2redis help demo`");
}

#[test]
fn passwords_on_the_command_line_are_not_repeated() {
    refused(
        &["replicate", "redis://user:secret@host:1"],
        "df2redis: unexpected argument 'redis://***@host:1' found; see `df2redis help replicate`",
    );
    let Run { code, stderr, .. } =
        run(&["replicate", "--source", "redis://user:secret@host:x", "--target", "redis://:secret@b"]);
    assert_eq!(code, 64);
    assert!(!stderr.contains("secret") && stderr.contains("--source"), "{stderr}");
}

#[test]
fn what_is_not_built_yet_is_refused() {
    refused(
        &["cold-import", "--config", "a", "--rdb", "b"],
        "df2redis: `cold-import` is not available in this version; `df2redis migrate` copies from a running source",
    );
}

#[test]
fn a_check_needs_sensible_options() {
    for (args, expected) in [
        (
            ["--mode", "quick"],
            "'quick' for '--mode <MODE>': \"quick\" is no mode; there are full, outline, length and smart",
        ),
        (
            ["--filter", "a||b"],
            "'a||b' for '--filter <GLOB|GLOB>': \"a||b\" has an empty pattern; use * for all keys",
        ),
        (["--filter", "a\\"], "'a\\' for '--filter <GLOB|GLOB>': \"a\\\\\" ends with a single backslash"),
        (["--rounds", "0"], "'0' for '--rounds <N>': 0 is not in 1..=100"),
        (["--parallel", "65"], "'65' for '--parallel <N>': 65 is not in 1..=64"),
        (["--interval", "3601"], "'3601' for '--interval <SECONDS>': 3601 is not in 0..=3600"),
    ] {
        let line = format!("df2redis: invalid value {expected}; see `df2redis help`");
        refused(&["check", "--config", "a", args[0], args[1]], &line);
    }
    refused(
        &["check"],
        "df2redis: the following required arguments were not provided: --config <FILE>; see `df2redis help check`",
    );
}

#[test]
fn configuration_problems_are_one_line_each() {
    for command in [&["replicate"][..], &["migrate"], &["check"], &["status"], &["checkpoint", "show"]] {
        let args: Vec<&str> = command.iter().copied().chain(["--config", "no-such.yaml"]).collect();
        refused(&args, "no-such.yaml: no such file (check the path given to --config)");
    }
    refused(
        &["replicate", "--source", "redis://a", "--target", "redis://b", "--dashboard-addr", "here"],
        "command line: --dashboard-addr: not an address: the port is missing (write host:port, or \"\" for none)",
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("two.yaml");
    std::fs::write(&file, "source:\n  adr: a:1\ntarget:\n  addr: b:2\n  type: mongo\n").unwrap();
    let Run { code, stdout, stderr } = run(&["replicate", "--config", file.to_str().unwrap()]);
    assert_eq!((code, stdout.as_str()), (64, ""));
    let lines: Vec<&str> = stderr.lines().collect();
    assert!(lines.len() >= 2, "{stderr}");
    for line in &lines {
        assert!(line.starts_with(file.to_str().unwrap()), "{line}");
    }
    assert!(stderr.contains(":2: source.adr: unknown key"), "{stderr}");
    assert!(stderr.contains(":5: target.type: "), "{stderr}");
}

#[test]
fn a_taken_dashboard_port_ends_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (dir, file) = config(&addr);
    let Run { code, stdout, stderr } = run(&["replicate", "--config", &file]);
    let line = format!(
        "df2redis: dashboard.addr {addr}: cannot listen: the port is taken by another process; choose another address, or \"\" for no dashboard\n"
    );
    assert_eq!((code, stdout, stderr), (1, String::new(), line));
    // Of the two reasons why a second start cannot work, the checkpoint is the one to be told.
    let _owner = checkpoint_at(dir.path());
    let Run { code, stderr, .. } = run(&["replicate", "--config", &file]);
    let checkpoint = dir.path().join("checkpoint");
    let line = format!("df2redis: checkpoint {} is in use by another process\n", checkpoint.display());
    assert_eq!((code, stderr), (1, line));
}

#[test]
fn a_dry_run_reaches_nobody_and_writes_nothing() {
    let (dir, file) = config("");
    let Run { code, stdout, stderr } = run(&["replicate", "--config", &file, "--dry-run"]);
    assert_eq!((code, stdout.as_str()), (75, ""));
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("df2redis: target: cannot reach 127.0.0.1:1: "), "{stderr}");
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["df2redis.yaml"]);
}
