//! The map: where everybody is, what they do, and how long the queues are.
//!
//! It is told by the broker alone, like any other program, so that it shows also those whom we did
//! not write.

use crate::charging::client::{self, Config, Told};
use crate::charging::limits::{PAGE_STATIONS_MAX, PAGE_VEHICLES_MAX};
use crate::charging::roles::Line;
use crate::charging::roles::map::{Doing, Map};
use crate::charging::world::{Id, Quadrant};
use crate::net::clock::Millis;
use crate::net::failure::Failure;
use crate::net::stop::Stop;
use crate::net::threads;
use crate::web::hub::Hub;
use crate::web::limits::ACTS_MAX;
use crate::web::site::{self, File, Open, Site};
use crossbeam_channel::bounded;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::thread::Scope;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: &[File] = &[
    File { path: "/", content_type: HTML, text: include_str!("map.html") },
    File { path: "/map.js", content_type: SCRIPT, text: include_str!("map.js") },
    File { path: "/map.css", content_type: CSS, text: include_str!("map.css") },
    File { path: "/page.css", content_type: CSS, text: include_str!("../../web/page.css") },
    File { path: "/live.js", content_type: SCRIPT, text: include_str!("../../web/live.js") },
];

/// Watches until `stop`, and serves the map until what it returns is dropped.
pub fn open<'scope>(
    scope: &'scope Scope<'scope, '_>,
    listener: TcpListener,
    config: Config,
    stop: Stop,
) -> Result<Open, Failure> {
    let open = || -> io::Result<Open> {
        let hub = Hub::start(scope)?;
        // A map asks for nothing, so nobody answers.
        let (acts, _) = bounded(ACTS_MAX);
        let site = Site { files: FILES, acts, hub: hub.clone(), trace: config.trace.clone() };
        let open = site::open(scope, listener, site)?;
        threads::spawn(scope, "map".to_owned(), move || {
            let tell = |told: Told, map: &Map| match told {
                Told::Joined => hub.tell("broker", "true", 1),
                Told::Lost(..) => hub.tell("broker", "false", 1),
                Told::Said(Line::Drawn(now)) => hub.tell("map", &draw(now, map).to_string(), 1),
                Told::Said(line) => config.trace.event(format_args!("ev=map {line}")),
            };
            // Those who play say the same, and louder.
            let _ = client::run(&config, Map::default(), &tell, &stop);
        })?;
        Ok(open)
    };
    open().map_err(Failure::from_io("cannot serve the map".to_owned()))
}

/// All that a page draws.
pub fn draw(now: Millis, map: &Map) -> Value {
    let mut numbers: HashMap<&Id, usize> = HashMap::new();
    let stations = map.stations().iter().take(PAGE_STATIONS_MAX).enumerate();
    let stations: Vec<Value> = stations
        .map(|(number, (id, spot))| {
            numbers.insert(id, number);
            let state = &spot.state;
            json!({
                "id": id.as_str(),
                "at": [state.at.latitude, state.at.longitude],
                "queue": state.queue,
                "charging": state.is_charging,
                "minutes": if spot.is_wild { Value::Null } else { json!(state.minutes_per_car) },
                "there": spot.is_there(now),
            })
        })
        .collect();
    let mut counts = [0_usize; 4];
    let mut vehicles = Vec::new();
    for seen in map.vehicles().values() {
        counts[seen.doing as usize] += 1;
        if vehicles.len() < PAGE_VEHICLES_MAX && seen.doing != Doing::Charges {
            let station = seen.station.as_ref().and_then(|id| numbers.get(id));
            let station = station.map_or(json!(-1), |number| json!(number));
            let (latitude, longitude) = (seen.at.latitude.round(), seen.at.longitude.round());
            vehicles.push(json!([latitude as i64, longitude as i64, seen.doing as usize, station]));
        }
    }
    json!({
        "stations": stations,
        "stations_total": map.stations().len(),
        "there_total": map.stations().values().filter(|spot| spot.is_there(now)).count(),
        "vehicles": vehicles,
        "vehicles_total": map.vehicles().len(),
        "counts": counts,
        "sectors": Quadrant::ALL.map(|quadrant| map.has_sector(quadrant)),
        "shortest": map.shortest().map(Id::as_str),
    })
}
