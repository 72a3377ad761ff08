//! Passwords that change while the program runs.

use scenarios::wait;

use crate::scene::{PATIENCE, scene};

const OLD: &str = "the-old-secret";
const NEW: &str = "the-new-secret";

#[test]
fn a_hangup_brings_in_a_changed_password() {
    let scene = scene();
    // Logged in before there was a password, and so for good.
    let mut client = scene.target.client();
    client.call(&["CONFIG", "SET", "requirepass", OLD]);
    let file = scene.dir.path().join("target_password");
    std::fs::write(&file, format!("{OLD}\n")).unwrap();
    let env = [("CREDENTIALS_DIRECTORY", scene.dir.path().to_str().unwrap())];
    let mut process = scene.start_with("replicate", &[], &env);
    scene.wait_ready();
    client.call(&["CONFIG", "SET", "requirepass", NEW]);
    // Open connections stay logged in; those that are opened now are refused.
    client.call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    scene.source.execute(0, &["INCR", "counter"]);
    scene.wait_log("refused the login");
    std::fs::write(&file, format!("{NEW}\n")).unwrap();
    process.signal("HUP");
    scene.wait_log("configuration reloaded applied=\"target.password\"");
    wait::until(PATIENCE, "the record that waited", || client.text(&["EXISTS", "counter"]) == "1");
    assert_eq!(client.text(&["GET", "counter"]), "1");
    process.signal("TERM");
    assert_eq!(process.wait(), 0, "{}", scene.log());
    assert!(!scene.log().contains(OLD) && !scene.log().contains(NEW), "{}", scene.log());
}
