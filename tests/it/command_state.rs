//! The command server's rules, on the value alone (command spec: Server).

use crate::command_value::{USER, check, check_with_users};
use malha::command::limits::WRONG_PASSWORDS_MAX;
use malha::command::protocol::{Answer, Password, Request};
use malha::command::state::{Effect, Event, Setup, State, Turn};
use malha::net::asked::ConnId;
use malha::net::clock::{Millis, Moment};
use malha::net::users::Verdict;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::SocketAddr;

#[test]
fn nothing_behind_exit_is_answered() {
    check(
        r"
        a opens
        a>> ECHO\nEXIT\nTIME\n
        a< ECHO: Comando recebido com sucesso.
        a< OK
        a ends
        logs @a desconectado
    ",
    );
}

#[test]
fn requests_are_logged_as_they_came_but_harmless() {
    check(
        r"
        a opens
        a>> olá\r 127.0.0.1:1 pedido: ECHO\n
        a< ERROR: Comando não reconhecido.
        logs @a pedido não reconhecido: olá\r 127.0.0.1:1 pedido: ECHO
        a> AUTH ana segredo
        a< ERROR: Comando não reconhecido.
        logs @a pedido: AUTH ***
        a> AUTH segredo
        a< ERROR: Comando não reconhecido.
        logs @a pedido não reconhecido: AUTH ***
    ",
    );
}

#[test]
fn one_that_asks_nothing_for_300_s_is_closed() {
    check(
        r"
        a opens
        b opens
        at 299999
        b> ECHO
        b< ECHO: Comando recebido com sucesso.
        at 300000
        a ends
        logs @a inativo por 300 s, conexão encerrada
        b> ECHO
        b< ECHO: Comando recebido com sucesso.
        at 599999
        b> ECHO
        b< ECHO: Comando recebido com sucesso.
        at 899999
        b ends
        logs @b inativo por 300 s, conexão encerrada
    ",
    );
}

/// Bytes are no request: a trickle keeps nobody in.
#[test]
fn part_of_a_request_is_not_one() {
    let mut state = server(false);
    let opened = state.handle(at(0), Event::Opened(ConnId(1), somebody()));
    assert!(matches!(opened[..], [Effect::Log(_)]));
    assert_eq!(state.deadline(), Some(Millis(IDLE_MS)));
    let idle = state.handle(at(IDLE_MS), Event::Tick);
    assert!(idle.contains(&Effect::HangUp(ConnId(1))), "{idle:?}");
    assert_eq!(state.deadline(), None);
}

#[test]
fn a_check_that_takes_long_is_not_idle() {
    let mut state = server(true);
    state.handle(at(0), Event::Opened(ConnId(1), somebody()));
    let auth = || Request::Auth("ana".to_owned(), Password::new("x".to_owned()));
    let turn = Turn { questions: vec![auth()], ..Turn::default() };
    assert!(matches!(
        state.handle(at(5), Event::Asked(ConnId(1), turn))[..],
        [Effect::Check(ConnId(1), ..)]
    ));
    let late = IDLE_MS * 3;
    assert_eq!(state.handle(at(late), Event::Tick), []);
    assert!(state.deadline() > Some(Millis(late)));
    let effects = state.handle(at(late), Event::Checked(ConnId(1), Verdict::Right));
    assert!(matches!(effects[..], [Effect::Log(_), Effect::Answer(..)]), "{effects:?}");
}

/// A check takes its time: who leaves must not take everybody else's.
#[test]
fn one_password_is_checked_at_a_time_and_none_of_those_who_are_gone() {
    let mut state = server(true);
    let auth = || Request::Auth("ana".to_owned(), Password::new("x".to_owned()));
    let ask = |state: &mut State, conn| {
        state.handle(at(0), Event::Opened(conn, somebody()));
        let turn = Turn { questions: vec![auth()], ..Turn::default() };
        state.handle(at(0), Event::Asked(conn, turn))
    };
    assert!(matches!(ask(&mut state, ConnId(1))[..], [Effect::Check(ConnId(1), ..)]));
    for conn in (2..100).map(ConnId) {
        assert_eq!(ask(&mut state, conn), []);
        state.handle(at(0), Event::Closed(conn, None));
    }
    assert_eq!(ask(&mut state, ConnId(100)), []);
    // Also of the one that is being checked nothing is forgotten but its answer.
    state.handle(at(0), Event::Closed(ConnId(1), None));
    let next = state.handle(at(0), Event::Checked(ConnId(1), Verdict::Wrong));
    assert!(matches!(next[..], [Effect::Check(ConnId(100), ..)]), "{next:?}");
    let answered = state.handle(at(0), Event::Checked(ConnId(100), Verdict::Right));
    assert!(matches!(answered[..], [Effect::Log(_), Effect::Answer(ConnId(100), _)]));
}

/// Also who is in and says his password again and again waits for the others in between.
#[test]
fn who_asked_first_is_checked_first() {
    let mut state = server(true);
    let auth = || Request::Auth("ana".to_owned(), Password::new("x".to_owned()));
    for conn in [2, 1, 3].map(ConnId) {
        state.handle(at(0), Event::Opened(conn, somebody()));
        let turn = Turn { questions: vec![auth(), auth()], ..Turn::default() };
        state.handle(at(0), Event::Asked(conn, turn));
    }
    let mut turns = [2, 1, 3, 2, 1, 3].map(ConnId).into_iter().peekable();
    while let Some(conn) = turns.next() {
        let effects = state.handle(at(0), Event::Checked(conn, Verdict::Right));
        let asked = effects.iter().find_map(|effect| match effect {
            Effect::Check(conn, ..) => Some(conn),
            _ => None,
        });
        assert_eq!(asked, turns.peek());
    }
}

#[test]
fn names_are_asked_for_again_on_each_connection() {
    check_with_users(
        r"
        a opens
        a> AUTH ana segredo
        a< OK
        b opens
        b> TIME
        b< ERROR: Autenticação necessária.
        a> TIME
        a< TIME: …
        b> EXIT
        b< OK
        b ends
    ",
    );
}

/// A mistyped `AUTH` is logged by its size, whoever says it.
#[test]
fn what_may_be_a_password_is_not_logged() {
    check_with_users(
        r"
        a opens
        a> AUHT ana segredo
        a< ERROR: Autenticação necessária.
        logs @a pedido não reconhecido: (16 bytes)
        a> AUTH segredo
        a< ERROR: Autenticação necessária.
        logs @a pedido não reconhecido: AUTH ***
    ",
    );
}

#[test]
fn a_wrong_password_does_not_put_out_who_is_in() {
    check_with_users(
        r"
        a opens
        a> AUTH ana segredo
        a< OK
        a> AUTH ana outra
        a< ERROR: Nome ou senha incorretos.
        a> ECHO
        a< ECHO: Comando recebido com sucesso.
    ",
    );
}

const IDLE_MS: u64 = 1_000;

fn server(has_users: bool) -> State {
    State::new(Setup { clients_max: 4, idle_ms_max: IDLE_MS, has_users })
}

fn at(ms: u64) -> Moment {
    Moment { at: Millis(ms), ..Moment::default() }
}

fn somebody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 40_000))
}

/// What may happen next, if it can.
#[derive(Debug, Clone)]
enum Move {
    Open,
    Ask(usize, Vec<Request>),
    /// The check comes out so.
    Check(Verdict),
    Close(usize),
    Wait(u64),
}

fn any_request() -> impl Strategy<Value = Request> {
    let auth = |password: &str| Request::Auth("ana".to_owned(), Password::new(password.to_owned()));
    prop_oneof![
        3 => Just(Request::Echo),
        2 => Just(Request::Time),
        1 => Just(Request::Exit),
        3 => Just(auth("GEHEIM")),
        1 => Just(Request::HalfAuth),
        1 => Just(Request::Unknown(b"AUHT ana GEHEIM"[..].into())),
        1 => Just(Request::TooLong),
    ]
}

fn any_move() -> impl Strategy<Value = Move> {
    let verdict = prop_oneof![Just(Verdict::Right), Just(Verdict::Wrong), Just(Verdict::Nobody)];
    prop_oneof![
        2 => Just(Move::Open),
        6 => (0..4_usize, proptest::collection::vec(any_request(), 1..5))
            .prop_map(|(who, requests)| Move::Ask(who, requests)),
        3 => verdict.prop_map(Move::Check),
        1 => (0..4_usize).prop_map(Move::Close),
        2 => (0..IDLE_MS).prop_map(Move::Wait),
    ]
}

/// What the world knows of a client, beside the state.
#[derive(Default)]
struct Known {
    out: Option<Vec<Request>>,
    is_in: bool,
    /// It had its last answer.
    is_over: bool,
    wrong: u32,
    last_ms: u64,
}

#[derive(Default)]
struct World {
    now_ms: u64,
    names: u64,
    known: BTreeMap<ConnId, Known>,
    /// Whose password is being checked.
    check: Option<ConnId>,
}

impl World {
    fn event(&mut self, state: &mut State, event: Event) -> Result<(), TestCaseError> {
        for effect in state.handle(at(self.now_ms), event) {
            match effect {
                Effect::Answer(conn, turn) => self.answered(conn, &turn)?,
                Effect::Check(conn, name, password) => {
                    prop_assert_eq!((name.as_str(), password.bytes()), (USER.0, &b"GEHEIM"[..]));
                    prop_assert!(self.check.replace(conn).is_none(), "one at a time");
                }
                Effect::HangUp(conn) => {
                    let known = self.known.remove(&conn).expect("was there");
                    prop_assert!(known.out.is_none() && !known.is_over);
                    prop_assert!(self.now_ms >= known.last_ms + IDLE_MS);
                }
                Effect::Log(line) => prop_assert!(!line.contains("GEHEIM"), "{}", line),
                Effect::Reply(_) | Effect::End => prop_assert!(false, "nobody asked for it"),
            }
        }
        Ok(())
    }

    /// A turn comes back once, in full, in order, and never with what only `AUTH` opens.
    fn answered(&mut self, conn: ConnId, turn: &Turn) -> Result<(), TestCaseError> {
        let known = self.known.get_mut(&conn).expect("is there");
        let asked = known.out.take();
        prop_assert_eq!(asked.as_ref(), Some(&turn.questions), "it was out");
        prop_assert!(turn.last || turn.answers.len() == turn.questions.len());
        for (request, answer) in turn.questions.iter().zip(&turn.answers) {
            let fits = match (request, answer) {
                (Request::Exit, Answer::Done) | (Request::TooLong, Answer::Unknown) => true,
                (Request::Auth(..), Answer::Done | Answer::WrongPassword) => true,
                (Request::Echo, Answer::Echo) | (Request::Time, Answer::Time(_)) => known.is_in,
                (Request::HalfAuth | Request::Unknown(_), Answer::Unknown) => known.is_in,
                (_, Answer::NeedsAuth) => true,
                _ => false,
            };
            prop_assert!(fits, "{:?} was answered {:?}", request, answer);
        }
        let ends = |request: &Request| matches!(request, Request::Exit | Request::TooLong);
        let is_end = turn.questions.get(turn.answers.len() - 1).is_some_and(ends);
        prop_assert_eq!(turn.last, is_end || known.wrong >= WRONG_PASSWORDS_MAX);
        known.last_ms = self.now_ms;
        known.is_over = turn.last;
        Ok(())
    }

    fn play(&mut self, state: &mut State, next: Move) -> Result<(), TestCaseError> {
        let nth = |known: &BTreeMap<ConnId, Known>, at: usize| known.keys().nth(at).copied();
        match next {
            Move::Open => {
                self.names += 1;
                let known = Known { last_ms: self.now_ms, ..Known::default() };
                self.known.insert(ConnId(self.names), known);
                self.event(state, Event::Opened(ConnId(self.names), somebody()))
            }
            Move::Ask(at, questions) => {
                let Some(conn) = nth(&self.known, at) else { return Ok(()) };
                let known = self.known.get_mut(&conn).expect("is there");
                if known.out.is_some() || known.is_over {
                    return Ok(());
                }
                known.out = Some(questions.clone());
                self.event(state, Event::Asked(conn, Turn { questions, ..Turn::default() }))
            }
            Move::Check(verdict) => {
                let Some(conn) = self.check.take() else { return Ok(()) };
                if let Some(known) = self.known.get_mut(&conn) {
                    known.is_in |= verdict == Verdict::Right;
                    known.wrong += u32::from(verdict != Verdict::Right);
                }
                self.event(state, Event::Checked(conn, verdict))
            }
            Move::Close(at) => {
                let Some(conn) = nth(&self.known, at) else { return Ok(()) };
                self.known.remove(&conn);
                self.event(state, Event::Closed(conn, None))
            }
            Move::Wait(ms) => {
                let end = self.now_ms + ms;
                while let Some(due) = state.deadline().filter(|due| due.0 <= end) {
                    self.now_ms = due.0.max(self.now_ms);
                    self.event(state, Event::Tick)?;
                    prop_assert!(state.deadline().is_none_or(|next| next.0 > self.now_ms));
                }
                self.now_ms = end;
                Ok(())
            }
        }
    }
}

proptest! {
    #[test]
    fn every_turn_is_answered_once_in_full_and_in_order(
        moves in proptest::collection::vec(any_move(), 0..60),
    ) {
        let (mut state, mut world) = (server(true), World::default());
        for next in moves {
            world.play(&mut state, next)?;
        }
        // Whatever is still out comes back once its checks are done.
        while world.check.is_some() {
            world.play(&mut state, Move::Check(Verdict::Wrong))?;
        }
        prop_assert!(world.known.values().all(|known| known.out.is_none()));
    }
}
