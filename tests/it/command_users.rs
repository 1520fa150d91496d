//! Names and passwords (spec: Server, Authentication): the file, who comes in, what is hidden.

use crate::command_server::{ECHO, MALHA, NEEDS_AUTH, Serving};
use crate::folder::Folder;
use crate::harness::{Person, Program, WAIT, run, until_at_most};
use malha::net::stop::{Stop, stop_pair};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const WRONG: &str = "ERROR: Nome ou senha incorretos.";
const PASSWORD: &str = "segredo-7c1";
/// Wrong, and still nobody's business.
const TRIED: &str = "errada-9f3";

type Outcome = (Option<i32>, Vec<String>, Vec<String>);

#[track_caller]
fn adduser(users: &str, name: &str, typed: &str) -> Outcome {
    run(MALHA, &["command", "adduser", "--users", users, name], typed)
}

/// A users file with ana in it.
fn ana(folder: &Folder) -> String {
    let users = folder.at("users.txt");
    let (code, _, err) = adduser(&users, "ana", &format!("{PASSWORD}\n"));
    assert_eq!((code, err), (Some(0), vec![]));
    users
}

fn start(folder: &Folder, users: &str, more: &[&str]) -> Serving {
    Serving::start(&folder.at("log.txt"), &[&["--users", users], more].concat())
}

#[track_caller]
fn answers(client: &mut Person, request: &str, answer: &str) {
    client.says(request);
    client.hears(answer);
}

/// One line on standard error, nothing else, exit status 1.
#[track_caller]
fn refuses((code, out, err): &Outcome) {
    assert_eq!((*code, out.len(), err.len()), (Some(1), 0, 1), "{out:#?} {err:#?}");
    assert!(err[0].starts_with("error: "), "{err:?}");
}

#[test]
fn a_new_users_file_is_its_owners_and_has_no_password() {
    let folder = Folder::new();
    let users = folder.at("users.txt");
    let (code, out, err) = adduser(&users, "ana", &format!("{PASSWORD}\n"));
    assert_eq!((code, out.len(), err.len()), (Some(0), 0, 0), "{err:?}");
    let text = fs::read_to_string(&users).unwrap();
    assert!(text.starts_with("ana:$argon2") && text.ends_with('\n'), "{text}");
    assert!(text.lines().count() == 1 && !text.contains(PASSWORD), "{text}");
    assert_eq!(fs::metadata(&users).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_name_that_is_none_is_refused() {
    let folder = Folder::new();
    let users = folder.at("users.txt");
    for name in ["", " ", "a:b", "a b", "a\tb", "a\nb", "ana ", "a\u{a0}b", &"n".repeat(65)] {
        refuses(&adduser(&users, name, "segredo\n"));
        assert!(!Path::new(&users).exists(), "{name:?} made a file");
    }
}

#[test]
fn an_empty_password_is_refused() {
    let folder = Folder::new();
    let users = folder.at("users.txt");
    for typed in ["", "\n", "\r\n", "  \n", "\nsegredo\n"] {
        refuses(&adduser(&users, "ana", typed));
        assert!(!Path::new(&users).exists(), "{typed:?} made a file");
    }
}

#[test]
fn the_same_name_again_is_refused_and_changes_nothing() {
    let folder = Folder::new();
    let users = ana(&folder);
    let before = fs::read(&users).unwrap();
    for password in [PASSWORD, "other"] {
        refuses(&adduser(&users, "ana", &format!("{password}\n")));
        assert_eq!(fs::read(&users).unwrap(), before);
    }
}

#[test]
fn a_users_file_without_final_newline_takes_another_user() {
    let folder = Folder::new();
    let users = ana(&folder);
    let ana = fs::read_to_string(&users).unwrap().trim_end().to_owned();
    fs::write(&users, &ana).unwrap();
    let (code, _, err) = adduser(&users, "bia", "outro segredo\n");
    assert_eq!((code, err), (Some(0), vec![]));
    let text = fs::read_to_string(&users).unwrap();
    assert!(
        text.starts_with(&format!("{ana}\nbia:$argon2")) && text.lines().count() == 2,
        "{text}"
    );
    let server = start(&folder, &users, &[]);
    for auth in [format!("AUTH ana {PASSWORD}"), "AUTH bia outro segredo".to_owned()] {
        let mut client = server.connect();
        answers(&mut client, &auth, "OK");
        answers(&mut client, "ECHO", ECHO);
    }
}

#[test]
fn before_auth_only_exit_is_answered() {
    let folder = Folder::new();
    let server = start(&folder, &ana(&folder), &[]);
    let mut client = server.connect();
    for request in ["ECHO", "TIME", "menu", "AUTH"] {
        answers(&mut client, request, NEEDS_AUTH);
    }
    answers(&mut client, "EXIT", "OK");
    client.ends();
}

#[test]
fn the_right_password_opens_and_it_alone() {
    let folder = Folder::new();
    let server = start(&folder, &ana(&folder), &[]);
    for keyword in ["AUTH", "auth", " aUtH "] {
        let mut client = server.connect();
        answers(&mut client, &format!("{keyword} ana {}", PASSWORD.to_uppercase()), WRONG);
        answers(&mut client, "ECHO", NEEDS_AUTH);
        answers(&mut client, &format!("{keyword} ana {PASSWORD}"), "OK");
        answers(&mut client, "ECHO", ECHO);
        client.asks("TIME", "TIME: ");
        answers(&mut client, "EXIT", "OK");
        client.ends();
    }
    // What one connection has said counts for that one alone.
    answers(&mut server.connect(), "ECHO", NEEDS_AUTH);
}

#[test]
fn three_wrong_passwords_close_the_connection_behind_the_third_answer() {
    let folder = Folder::new();
    let server = start(&folder, &ana(&folder), &[]);
    let mut slow = server.connect();
    for _ in 0..3 {
        answers(&mut slow, &format!("AUTH ana {TRIED}"), WRONG);
    }
    slow.ends();
    // What is sent behind them must not take the answers away.
    let mut fast = server.connect();
    let wrong = format!("AUTH ana {TRIED}\nAUTH bia {PASSWORD}\nAUTH ana {TRIED}\n");
    let behind = format!("AUTH ana {PASSWORD}\n{}", "ECHO\n".repeat(5_000));
    fast.says(&format!("{wrong}{behind}"));
    fast.hears_bytes(format!("{WRONG}\n").repeat(3).as_bytes());
    fast.ends();
    answers(&mut server.connect(), &format!("AUTH ana {PASSWORD}"), "OK");
}

#[test]
fn requests_that_arrive_together_around_an_auth_are_answered_in_order() {
    let folder = Folder::new();
    let server = start(&folder, &ana(&folder), &[]);
    let mut client = server.connect();
    client.says(&format!("ECHO\nAUTH ana {PASSWORD}\nECHO\nfoo\nTIME\nECHO\nEXIT\nECHO"));
    for answer in [NEEDS_AUTH, "OK", ECHO, "ERROR: Comando não reconhecido."] {
        client.hears(answer);
    }
    assert!(client.line().starts_with("TIME: "));
    client.hears(ECHO);
    client.hears("OK");
    client.ends();
}

/// All that a server writes when passwords come in every way: log, standard output and error.
fn written(requests: &[&str], trace: &str) -> (String, String, String) {
    let folder = Folder::new();
    let mut server = start(&folder, &ana(&folder), &["--trace", trace]);
    for request in requests {
        let mut client = server.connect();
        client.says(request);
        assert!(!client.line().is_empty());
    }
    // Cut by a silence behind the name, as by a person who types it.
    let mut client = server.connect();
    for piece in ["AUTH ana".as_bytes(), PASSWORD.as_bytes()] {
        client.says_bytes(piece);
        client.hears_bytes(NEEDS_AUTH.as_bytes());
    }
    let (out, err) = server.stop();
    let log = fs::read_to_string(folder.at("log.txt")).unwrap();
    assert!(log.lines().count() > 3 * requests.len(), "{log}");
    (log, out.join("\n"), err.join("\n"))
}

fn in_order() -> [String; 4] {
    let name_last = format!("AUTH {PASSWORD} ana");
    let half = format!("AUTH {PASSWORD}");
    [format!("AUTH ana {PASSWORD}"), format!("auth ana {TRIED}"), name_last, half]
}

fn mistyped() -> [String; 4] {
    let too_long = format!("AUTH ana {PASSWORD}{}", "x".repeat(1024));
    let joined = format!("AUTHana {PASSWORD}");
    [format!("AUHT ana {PASSWORD}"), joined, too_long, format!("{PASSWORD}\0\u{1b}")]
}

#[track_caller]
fn hides(what: &str, text: &str) {
    for secret in [PASSWORD, TRIED] {
        let shown: Vec<&str> = text.lines().filter(|line| line.contains(secret)).collect();
        assert!(shown.is_empty(), "{what} shows {secret}: {shown:#?}");
    }
}

#[test]
fn no_password_is_in_the_log_or_printed() {
    let requests = [in_order(), mistyped()].concat();
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    let (log, out, err) = written(&requests, "off");
    assert!(log.contains("AUTH ana, aceito") && log.contains("senha errada (1/3)"), "{log}");
    hides("the log", &log);
    hides("standard output", &out);
    hides("standard error", &err);
}

#[test]
fn no_password_of_an_auth_is_in_the_trace() {
    let requests = in_order();
    let (_, _, err) = written(&requests.each_ref().map(String::as_str)[..], "events");
    hides("the trace of events", &err);
    let folder = Folder::new();
    let mut server = start(&folder, &ana(&folder), &["--trace", "wire"]);
    for request in requests {
        let mut client = server.connect();
        client.says(&request);
        assert!(!client.line().is_empty());
    }
    let (_, err) = server.stop();
    assert!(err.iter().any(|line| line.ends_with("ev=wire c1> AUTH ***")), "{err:#?}");
    hides("the trace of messages", &err.join("\n"));
}

#[test]
fn no_password_of_a_mistyped_auth_is_in_the_trace() {
    let (_, _, err) = written(&mistyped().each_ref().map(String::as_str)[..], "wire");
    assert!(err.contains("ev=wire c1< "), "{err}");
    hides("the trace of messages", &err);
}

/// Or whoever asks could find out which names there are.
#[test]
fn a_name_that_nobody_has_takes_as_long_as_a_wrong_password() {
    let folder = Folder::new();
    let users = ana(&folder);
    let took = |name: &str| {
        // A new one, because passwords rest after a wrong one.
        let server = start(&folder, &users, &[]);
        let mut client = server.connect();
        answers(&mut client, "ECHO", NEEDS_AUTH);
        let start = Instant::now();
        answers(&mut client, &format!("AUTH {name} {TRIED}"), WRONG);
        start.elapsed()
    };
    let (mut known, mut unknown): (Vec<_>, Vec<_>) =
        (0..7).map(|_| (took("ana"), took("bia"))).unzip();
    known.sort();
    unknown.sort();
    let (known, unknown) = (known[3].as_secs_f64(), unknown[3].as_secs_f64());
    assert!(known > 0.005 && unknown > 0.005, "known {known} s, unknown {unknown} s");
    assert!(known < 2.5 * unknown && unknown < 2.5 * known, "known {known}, unknown {unknown}");
}

#[test]
fn guessing_costs_a_bounded_share_of_a_processor_and_delays_nobody() {
    const TIME: Duration = Duration::from_millis(1_500);
    let folder = Folder::new();
    let server = start(&folder, &ana(&folder), &["--max-clients", "20"]);
    let mut client = server.connect();
    answers(&mut client, &format!("AUTH ana {PASSWORD}"), "OK");
    let (over, is_over) = stop_pair();
    let wrong = AtomicUsize::new(0);
    let share = thread::scope(|scope| {
        let over = over;
        let (addr, is_over, wrong) = (server.addr, &is_over, &wrong);
        for _ in 0..8 {
            scope.spawn(move || guess_until(is_over, addr, wrong));
        }
        let (start, before) = (Instant::now(), processor_time(&server.program));
        let mut echoes = 0;
        until_at_most(WAIT * 6, "the end of the guessing", || {
            answers(&mut client, "ECHO", ECHO);
            echoes += 1;
            let is_enough = start.elapsed() >= TIME && wrong.load(Ordering::Relaxed) >= 4;
            is_enough.then_some(())
        });
        // Had one to wait for the checks that are under way, there would be no more than of these.
        let wrong = wrong.load(Ordering::Relaxed);
        assert!(echoes > 4 * wrong, "{echoes} answers beside {wrong} checks");
        let spent = processor_time(&server.program) - before;
        let share = spent.as_secs_f64() / start.elapsed().as_secs_f64();
        drop(over);
        share
    });
    assert!(share < 0.5, "the server took {share} of a processor");
}

/// Counts the wrong passwords that were answered.
fn guess_until(over: &Stop, addr: SocketAddr, wrong: &AtomicUsize) {
    while !over.is_asked() {
        let mut client = Person::connect(addr);
        for _ in 0..3 {
            if !over.is_asked() {
                answers(&mut client, &format!("AUTH ana {TRIED}"), WRONG);
                wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// What a program has taken so far, in user and in system mode.
fn processor_time(program: &Program) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.pid())).unwrap();
    // The name may have spaces; behind it the first field is the third.
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    // Of which Linux tells programs that there are 100 a second.
    Duration::from_millis(10 * ticks)
}

#[test]
fn udp_is_refused_where_users_are_set() {
    let folder = Folder::new();
    let (users, log) = (ana(&folder), folder.at("log.txt"));
    let args = ["command", "server", "--listen", "127.0.0.1:0", "--log", &log, "--udp", "--users"];
    let (code, out, err) = run(MALHA, &[&args[..], &[&users]].concat(), "");
    assert_eq!((code, out.len(), err.len()), (Some(2), 0, 1), "{out:?} {err:?}");
    assert!(err[0].contains("--udp") && err[0].contains("--users"), "{err:?}");
}

#[test]
fn a_users_file_that_is_none_is_refused_and_shows_nothing_of_it() {
    const SALT: &str = "c2FsdHNhbHRzYWx0";
    let folder = Folder::new();
    let good = fs::read_to_string(ana(&folder)).unwrap();
    let files = [
        folder.at("missing.txt"),
        folder.at(""),
        folder.file("empty.txt", ""),
        folder.file("blank.txt", "\n  \r\n"),
        folder.file("no-colon.txt", format!("{good}bia\n")),
        folder.file("hash-alone.txt", good.strip_prefix("ana:").unwrap()),
        folder.file("plain.txt", format!("{good}bia:{PASSWORD}\n")),
        folder.file("no-hash.txt", format!("ana:$argon2id$v=19$m=19456,t=2,p=1${SALT}\n")),
        folder.file("no-salt.txt", "ana:$argon2id$v=19$m=19456,t=2,p=1\n"),
        folder.file("other.txt", format!("ana:$scrypt$ln=17,r=8,p=1${SALT}${SALT}\n")),
        folder.file("cut.txt", &good[..good.len() / 2]),
        folder.file("twice.txt", good.repeat(2)),
        folder.file("name.txt", good.replace("ana:", "a na:")),
        folder.file("no-name.txt", good.replace("ana:", ":")),
        folder.file("not-text.txt", [good.as_bytes(), b"\xff:\xfe\n"].concat()),
    ];
    let hash = good.trim_end().rsplit_once('$').unwrap();
    let salt = hash.0.rsplit_once('$').unwrap().1;
    for users in files {
        let log = folder.at("log.txt");
        let args = ["command", "server", "--listen", "127.0.0.1:0", "--log", &log, "--users"];
        let start = Instant::now();
        let outcome = run(MALHA, &[&args[..], &[&users]].concat(), "");
        assert!(start.elapsed() < WAIT / 2, "{users}");
        refuses(&outcome);
        let said = &outcome.2[0];
        for secret in [hash.1, salt, SALT, PASSWORD, "$", "19456"] {
            assert!(!said.contains(secret), "{users}: {said}");
        }
    }
}
