//! The live map, as a value and in a real browser (charging spec: Parts, --web).

use crate::browser::{Browser, ENTER, TAB};
use crate::charging_world::{at, heading, id};
use crate::chat_live::{MALHA, said};
use crate::harness::{Program, until};
use malha::charging::limits::SILENT_MS_MAX;
use malha::charging::pages::draw;
use malha::charging::payload::{Outcome, Place, Position, Queue, Said, Sector, Stage, Station};
use malha::charging::protocol::{Connect, LEVEL, Message, Packet, Publish, Qos, encode};
use malha::charging::roles::map::{Doing, Map};
use malha::charging::roles::{Event, Role};
use malha::charging::world::{Quadrant, Trend};
use malha::net::clock::Millis;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

fn hears(map: &mut Map, now: u64, said: Said) {
    map.handle(Millis(now), Event::Heard(Arc::new(said), false));
}

fn position(vehicle: &str) -> Said {
    let (vehicle, at) = (id(vehicle), at(50.0, -20.0));
    Said::Position(Position { vehicle, at, trend: Trend::Slow })
}

fn place(outcome: Outcome) -> Said {
    let (station, vehicle) = (id("p"), id("v"));
    Said::Place(Place { station, vehicle, request: 1, outcome })
}

fn doing(map: &Map) -> Option<Doing> {
    map.vehicles().get(&id("v")).map(|seen| seen.doing)
}

#[test]
fn a_vehicle_is_seen_to_drive_go_and_charge_and_is_forgotten() {
    let mut map = Map::default();
    hears(&mut map, 0, heading("v", "p", 1, Stage::Going));
    assert_eq!(doing(&map), None, "it has not said where it is");
    hears(&mut map, 0, position("v"));
    assert_eq!(doing(&map), Some(Doing::Drives));
    hears(&mut map, 1, heading("v", "p", 1, Stage::Going));
    assert_eq!(doing(&map), Some(Doing::Goes));
    hears(&mut map, 2, place(Outcome::Charging));
    hears(&mut map, 3, position("v"));
    assert_eq!(doing(&map), Some(Doing::Charges));
    hears(&mut map, 4, place(Outcome::Charged));
    assert_eq!(doing(&map), Some(Doing::Drives));
    map.handle(Millis(3 + SILENT_MS_MAX), Event::Due);
    assert_eq!(doing(&map), None);
}

#[test]
fn stations_are_drawn_as_they_are_known() {
    let mut map = Map::default();
    let queue = Queue { station: id("wild"), at: at(1.0, 2.0), queue: 3 };
    hears(&mut map, 0, Said::Queue(queue.clone()));
    let state = Station {
        station: id("p"),
        at: at(-3.0, 4.0),
        queue: 2,
        is_charging: true,
        minutes_per_car: 2.5,
        is_online: true,
    };
    hears(&mut map, 0, Said::Station(state.clone()));
    // What one of ours says like those in the wild says less.
    hears(&mut map, 0, Said::Queue(Queue { station: id("p"), ..queue }));
    hears(&mut map, 0, Said::Sector(Sector { quadrant: Quadrant::ALL[2], is_online: true }));
    hears(&mut map, 0, Said::Shortest(Some(id("p"))));
    hears(&mut map, 0, position("v"));
    hears(&mut map, 0, heading("v", "p", 1, Stage::Going));
    let drawn = draw(Millis(1), &map);
    let ours = json!({
        "id": "p", "at": [-3.0, 4.0], "queue": 2, "charging": true, "minutes": 2.5, "there": true,
    });
    let wild = json!({
        "id": "wild", "at": [1.0, 2.0], "queue": 3, "charging": true, "minutes": null,
        "there": true,
    });
    assert_eq!(drawn["stations"], json!([ours, wild]));
    assert_eq!(drawn["vehicles"], json!([[50, -20, Doing::Goes as usize, 0]]));
    assert_eq!(drawn["sectors"], json!([false, false, true, false]));
    assert_eq!(drawn["shortest"], json!("p"));
    hears(&mut map, 2, Said::Station(Station { is_online: false, ..state }));
    let there = |now| draw(Millis(now), &map)["there_total"].as_u64();
    assert_eq!((there(2), there(SILENT_MS_MAX)), (Some(1), Some(0)));
}

/// Says something as programs in the wild do: QoS 0, and gone.
fn wild(broker: SocketAddr, topic: &str, payload: &Value) {
    let mut bytes = Vec::new();
    let connect = Connect::new(LEVEL, "wild".to_owned());
    encode(&Packet::Connect(Box::new(connect)), &mut bytes);
    let message = Message::new(topic, payload.to_string().as_bytes());
    let publish = Publish { message, qos: Qos::AtMostOnce, retain: false, dup: false, id: 0 };
    encode(&Packet::Publish(publish), &mut bytes);
    encode(&Packet::Disconnect, &mut bytes);
    let mut socket = TcpStream::connect(broker).unwrap();
    socket.write_all(&bytes).unwrap();
    // Until the broker has read it all.
    let _ = socket.read_to_end(&mut Vec::new());
}

fn simulate(more: &[&str]) -> (Program, String) {
    let args = ["charging", "simulate", "--stations", "9", "--vehicles", "60"];
    let args = [&args[..], &["--seconds", "600", "--web", "127.0.0.1:0"], more].concat();
    let mut program = Program::start(MALHA, &args);
    let url = said(&mut program, "page at ");
    (program, url)
}

/// Whether something is drawn: not all points of the canvas are alike.
fn is_drawn(browser: &Browser) -> bool {
    let script = "const c = document.querySelector('#map'); if (!c.width) return 0; \
                  const d = new Uint32Array(c.getContext('2d')\
                  .getImageData(0, 0, c.width, c.height).data.buffer); \
                  return new Set(d).size";
    browser.run(script).as_u64().unwrap() > 3
}

#[test]
fn the_map_shows_stations_vehicles_and_guests_and_fits_a_phone() {
    let Some(browser) = Browser::start() else { return };
    let (mut program, url) = simulate(&[]);
    let broker: SocketAddr = said(&mut program, "broker on ").parse().unwrap();
    browser.open(&url);
    browser.shows("#phase", "ao vivo");
    browser.shows("#stations", "9");
    browser.shows("#vehicles", "60");
    browser.shows("#sectors", "setor 4");
    until("four sectors", || (!browser.text("#sectors").contains("fora")).then_some(()));
    until("a drawing", || is_drawn(&browser).then_some(()));
    until("a shortest queue", || browser.text("#shortest").starts_with("posto-").then_some(()));

    // Guests that we did not write.
    let station = json!({
        "station-id": "<i>posto</i>".replace('/', "|"), "station-latitude": 99,
        "station-longitude": 73, "queue-size": 3,
    });
    let vehicle = json!({
        "vehicle_id": "vehicle-wild", "latitude": 96, "longitude": 21,
        "tendencia_descarregamento": "LENTA",
    });
    wild(broker, "fila/posto", &station);
    wild(broker, "veiculo", &vehicle);
    browser.shows("#rows", "<i>posto<|i>");
    browser.shows("#stations", "10");
    browser.shows("#vehicles", "61");
    assert_eq!(browser.run("return document.querySelectorAll('#rows i').length"), json!(0));

    // With the keyboard: the table, and then the first station.
    browser.run("document.querySelector('#table').focus()");
    browser.types(TAB);
    browser.types(ENTER);
    let name = browser.text("#rows tr.chosen button");
    browser.shows("#chosen", &format!("{name}: "));
    let focus = "return document.activeElement === document.querySelector('tr.chosen button')";
    assert_eq!(browser.run(focus), json!(true), "the focus stays while queues change");

    for width in [360, 1200] {
        browser.resize(width, 740);
        browser.fits(&format!("the map, {width} wide"));
        until("a drawing", || is_drawn(&browser).then_some(()));
    }
    program.signal("-INT");
    program.exits(0);
}

#[test]
fn the_map_outlives_the_broker() {
    let Some(browser) = Browser::start() else { return };
    // A port that was free a moment ago: it must be the same after a restart.
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let start = || {
        let mut broker = Program::start(MALHA, &["charging", "broker", "--listen", &addr]);
        broker.prints(&format!("listening on {addr}"));
        broker
    };
    let mut broker = start();
    let (_program, url) = simulate(&["--broker", &addr]);
    browser.open(&url);
    browser.shows("#phase", "ao vivo");
    browser.shows("#stations", "9");
    broker.signal("-KILL");
    broker.exit();
    browser.shows("#phase", "sem broker");
    let _broker = start();
    browser.shows("#phase", "ao vivo");
    until("four sectors", || (!browser.text("#sectors").contains("fora")).then_some(()));
    until("all stations", || (browser.text("#stations") == "9").then_some(()));
}
