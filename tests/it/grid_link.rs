//! The link between two servers, on the value alone (spec: Life of the peer link).

use crate::value::{SENSORS, check, check_with};
use malha::grid::decode::Heard;
use malha::grid::limits::{GREETING_MS_MAX, PEER_MS_MAX};
use malha::grid::protocol::{Message, Query, Refusal, Terminator};
use malha::grid::state::{Effect, Event, Setup, Side, State, Turn, Why};
use malha::net::asked::ConnId;
use malha::net::clock::Millis;
use malha::net::pushed::LinkId;

/// A client has joined, and another server has linked up.
pub const LINKED: &str = "
    a opens
    a> REQ_ADD
    a< RES_ADD(1)
    p opens peer
    p> REQ_ADDPEER
    p< RES_ADDPEER(2)
    p> RES_ADDPEER(1)
    prints No peer found, starting to listen..
    prints Client 1 added
    prints Peer 2 connected
    prints New Peer ID: 1
";

#[track_caller]
pub fn check_linked(text: &str) {
    check(&format!("{LINKED}{text}"));
}

/// The link of [`linked`].
pub const PEER: LinkId = LinkId(1);

/// Where only the state itself tells: a client has joined and asked this, another server has linked
/// up, and all is still at 0 ms.
pub fn linked(queries: &[Query]) -> State {
    let sensors = malha::grid::sensors::parse(SENSORS).unwrap();
    let mut state = State::new(Setup { sensors, peer_ms_max: PEER_MS_MAX, may_dial: false });
    let conn = ConnId(1);
    let asks = queries.iter().copied().map(Message::Req);
    let questions = [Message::ReqAdd].into_iter().chain(asks).collect();
    for event in [
        Event::Listening,
        Event::PeerOpened(PEER, Side::Accepted),
        peer_says(&[Message::ReqAddPeer]),
        peer_says(&[Message::ResAddPeer(1)]),
        Event::ClientOpened(conn, "127.0.0.1:1".parse().unwrap()),
        Event::ClientAsked(conn, Turn { questions, ..Turn::default() }),
    ] {
        state.handle(Millis(0), event);
    }
    state
}

/// All of it in one read.
pub fn peer_says(messages: &[Message]) -> Event {
    let heard = Heard { messages: messages.to_vec(), terminator: Terminator::Lf };
    Event::PeerHeard(PEER, heard)
}

#[test]
fn the_acceptor_is_1_and_the_dialer_2() {
    check_linked(
        "a> REQ_LP\na< RES_LP(local 1 potency: 1940)\ntypes show peer\nprints peer 2, own ID 1",
    );
}

#[test]
fn the_dialer_asks_takes_its_id_and_gives_one() {
    check(
        r"
        p listens
        a opens
        a> REQ_ADD
        a< RES_ADD(1)
        a> REQ_LP
        a< RES_LP(local 0 potency: 1940)
        p< REQ_ADDPEER
        p> RES_ADDPEER(2)
        p< RES_ADDPEER(1)
        prints Client 1 added
        prints New Peer ID: 2
        prints Peer 1 connected
        a> REQ_LP
        a< RES_LP(local 2 potency: 1940)
    ",
    );
}

#[test]
fn a_dialer_that_is_given_1_chooses_2() {
    check(
        "p listens\np< REQ_ADDPEER\np> RES_ADDPEER(1)\np< RES_ADDPEER(2)\n\
           prints New Peer ID: 1\nprints Peer 2 connected",
    );
}

#[test]
fn res_add_is_read_as_res_addpeer_on_either_side() {
    check(
        "p listens\np< REQ_ADDPEER\np>> RES_ADD(66)\np<< RES_ADDPEER(1)\nprints New Peer ID: 66\n\
           prints Peer 1 connected\np>> REQ_EP\np<< RES_EP(external 66 potency: 1940)",
    );
    check(
        "p opens peer\np>> REQ_ADDPEER\np<< RES_ADDPEER(2)\np>> RES_ADD(66)\n\
           prints No peer found, starting to listen..\nprints Peer 2 connected\n\
           prints New Peer ID: 66\np>> REQ_MN\np<< RES_MN(66 1940)",
    );
}

#[test]
fn a_third_server_is_refused_and_the_link_stays() {
    check_linked(
        r"
        q opens peer
        q> REQ_ADDPEER
        q< ERROR(02)
        q ends
        a> REQ_EP
        p< REQ_EP
        p> RES_EP(external 2 potency: 7)
        a< RES_EP(external 2 potency: 7)
    ",
    );
}

#[test]
fn a_server_that_dialed_refuses_a_third_as_well() {
    check(
        "p listens\np< REQ_ADDPEER\np> RES_ADDPEER(2)\np< RES_ADDPEER(1)\np> REQ_ADDPEER\n\
           p< ERROR(02)\np> REQ_EP\np< RES_EP(external 2 potency: 1940)",
    );
}

#[test]
fn a_server_that_is_refused_says_so_and_fails() {
    check("p listens\np< REQ_ADDPEER\np> ERROR(02)\nprints Peer limit exceeded\nexits 1");
}

#[test]
fn a_guest_gets_no_answers_before_it_has_the_link() {
    check(
        r"
        p opens peer
        p> REQ_ES
        p< ERROR(03)
        p> REQ_DCPEER(1)
        p< ERROR(03)
        p> HELLO
        p< ERROR(05)
        p> REQ_ADDPEER
        p< RES_ADDPEER(2)
    ",
    );
}

/// At the limit, and one past it.
#[test]
fn a_guest_may_stray_16_times_and_is_sent_away_with_the_17th() {
    let strays = "p> REQ_ES\np< ERROR(03)\np> HELLO\np< ERROR(05)\n".repeat(8);
    check(&format!("p opens peer\n{strays}p> REQ_ADDPEER\np< RES_ADDPEER(2)"));
    check(&format!(
        "p opens peer\n{strays}p> REQ_ES\np< ERROR(03)\np ends\n\
         q opens peer\nq> REQ_ADDPEER\nq< RES_ADDPEER(2)"
    ));
}

#[test]
fn guests_that_are_sent_away_are_counted() {
    let sensors = malha::grid::sensors::parse(SENSORS).unwrap();
    let mut state = State::new(Setup { sensors, peer_ms_max: PEER_MS_MAX, may_dial: false });
    state.handle(Millis(0), Event::Listening);
    state.handle(Millis(0), Event::PeerOpened(LinkId(1), Side::Accepted));
    state.handle(Millis(GREETING_MS_MAX - 1), Event::GuestRefused);
    assert_eq!(state.counters().report(), "guests-refused=1");
    let effects = state.handle(Millis(GREETING_MS_MAX), Event::Tick);
    assert_eq!(effects, [Effect::Part(LinkId(1), Why::Late)]);
    assert_eq!(state.counters().report(), "guests-refused=1 guests-timed-out=1");
}

#[test]
fn a_guest_that_says_nothing_is_sent_away_and_keeps_nobody_out() {
    check(
        r"
        p opens peer
        at 5000
        q opens peer
        q> REQ_ADDPEER
        q< RES_ADDPEER(2)
        q> RES_ADDPEER(1)
        at 9999
        p> REQ_ES
        p< ERROR(03)
        at 10000
        p ends
        q> REQ_MN
        q< RES_MN(1 1940)
    ",
    );
}

#[test]
fn a_handshake_that_stops_half_way_frees_the_place() {
    let begun = "p opens peer\np> REQ_ADDPEER\np< RES_ADDPEER(2)\n";
    let next = "q opens peer\nq> REQ_ADDPEER\nq< RES_ADDPEER(2)\n";
    check(&format!("{begun}p closes\n{next}"));
    check(&format!("{begun}at 2000\np ends\n{next}"));
    check(&format!("{begun}at 1999\np> RES_ADDPEER(1)\nprints New Peer ID: 1\nat 2000"));
}

#[test]
fn whoever_answers_strangely_is_no_server_and_we_listen() {
    let heard = "prints No peer found, starting to listen..\nq opens peer\nq> REQ_ADDPEER\n\
                 q< RES_ADDPEER(2)";
    for strange in ["p> HTTP/1.1 400 Bad Request", "p> OK(01)", "p closes", "at 2000"] {
        check(&format!("p listens\np< REQ_ADDPEER\n{strange}\n{heard}"));
    }
}

#[test]
fn the_peer_is_answered_about_the_own_network_only() {
    check_linked(
        r"
        p> REQ_ES
        p< RES_ES(external 1 sensor 1: 720 (900 80))
        p> REQ_EP
        p< RES_EP(external 1 potency: 1940)
        p> REQ_MS
        p< RES_MS(1 1 720 900 80)
        p> REQ_MN
        p< RES_MN(1 1940)
        p> HELLO
        p< ERROR(05)
    ",
    );
}

#[test]
fn complaints_are_not_complained_about() {
    check_linked(
        "p> ERROR(05)\np> ERROR(99)\np> OK(01)\np> RES_ES(what)\np> RES_ADDPEER(2)\n\
                  p> REQ_MN\np< RES_MN(1 1940)",
    );
}

#[test]
fn who_can_neither_dial_nor_listen_pauses_longer_and_longer() {
    let setup = Setup {
        sensors: malha::grid::sensors::parse(SENSORS).unwrap(),
        peer_ms_max: PEER_MS_MAX,
        may_dial: true,
    };
    let mut state = State::new(setup);
    let mut now = Millis(0);
    assert_eq!(state.handle(now, Event::Started), [Effect::Dial]);
    for (round, pause) in [500, 1_000, 2_000, 4_000, 5_000, 5_000].into_iter().enumerate() {
        assert_eq!(state.handle(now, Event::DialFailed), [Effect::Listen], "round {round}");
        let effects = state.handle(now, Event::ListenFailed("not ours".to_owned()));
        let is_warning = |effect: &Effect| matches!(effect, Effect::Warn(_));
        assert!(effects.iter().all(is_warning), "round {round}: {effects:?}");
        assert_eq!(effects.len(), usize::from(round == 1), "one warning is enough: {effects:?}");
        assert_eq!(state.deadline(), Some(now.plus(pause)), "round {round}");
        assert_eq!(state.handle(now.plus(pause - 1), Event::Tick), [], "too early");
        now = now.plus(pause);
        assert_eq!(state.handle(now, Event::Tick), [Effect::Dial], "round {round}");
    }
}

/// It has clients to serve: it goes on, says so once, and tries again.
#[test]
fn who_had_a_link_and_finds_two_servers_already_does_not_end() {
    let sensors = malha::grid::sensors::parse(SENSORS).unwrap();
    let mut state = State::new(Setup { sensors, peer_ms_max: PEER_MS_MAX, may_dial: true });
    let mut now = Millis(0);
    let hears = |state: &mut State, now, link, message| {
        state.handle(now, Event::PeerOpened(link, Side::Dialed));
        let heard = Heard { messages: vec![message], terminator: Terminator::Lf };
        state.handle(now, Event::PeerHeard(link, heard))
    };
    state.handle(now, Event::Started);
    for links in [1, 11] {
        hears(&mut state, now, LinkId(links), Message::ResAddPeer(2));
        let gone = state.handle(now, Event::PeerClosed(LinkId(links)));
        assert!(gone.contains(&Effect::Listen), "{gone:?}");
        let dials = state.handle(now, Event::ListenFailed("not ours".to_owned()));
        assert_eq!(dials, [Effect::Dial]);
        let said = Effect::Say("Peer limit exceeded".to_owned());
        for (round, pause) in [500, 1_000, 2_000].into_iter().enumerate() {
            let link = LinkId(links + 1 + round as u64);
            let refused = hears(&mut state, now, link, Message::Error(Refusal::PeerLimit));
            let expected = [Effect::Part(link, Why::Goodbye), said.clone()];
            assert_eq!(refused, expected[..if round == 0 { 2 } else { 1 }], "round {round}");
            now = now.plus(pause);
            assert_eq!(state.handle(now, Event::Tick), [Effect::Dial], "round {round}");
        }
    }
}

#[test]
fn equal_networks_are_won_by_the_local_one() {
    let csv = "0,100,100\n1,50,100\n2,50,100\n";
    let asked = "a> REQ_MS\np< REQ_ES\np> RES_ES(external 2 sensor 0: 100 (100 100))\n\
                 a< RES_MS(global 1 sensor 0: 100 (100 100))\n\
                 a> REQ_MN\np< REQ_EP\np> RES_EP(external 2 potency: 200)\n\
                 a< RES_MN(global 1 potency: 200)";
    check_with(csv, &format!("{LINKED}{asked}"));
}
