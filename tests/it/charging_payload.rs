//! What is said on which topic, byte by byte (charging spec: Topics and payloads).

use malha::charging::payload::{
    Answer, Ask, Bad, Heading, Offer, Outcome, Place, Position, Queue, Reason, Said, Sector, Stage,
    Station,
};
use malha::charging::world::{At, Id, Quadrant, Trend};
use proptest::prelude::*;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn at(latitude: f64, longitude: f64) -> At {
    At::new(latitude, longitude).unwrap()
}

fn ask() -> Ask {
    Ask {
        vehicle: id("vehicle-a"),
        at: at(10.5, -20.0),
        battery: 20.0,
        trend: Trend::Medium,
        request: 7,
        attempt: 2,
        except: vec![id("posto-x")],
    }
}

/// One of each.
fn said() -> Vec<Said> {
    let (station, vehicle) = (id("posto-a"), id("vehicle-a"));
    let place = |outcome| {
        let (station, vehicle) = (station.clone(), vehicle.clone());
        Said::Place(Place { station, vehicle, request: 7, outcome })
    };
    let answer = |offer| Said::Answer(Answer { vehicle: vehicle.clone(), request: 7, offer });
    let (queue, distance, minutes) = (2, 5.0, 12.5);
    let offer = Offer { station: station.clone(), at: at(3.0, 4.0), queue, distance, minutes };
    let heading = Heading {
        vehicle: vehicle.clone(),
        station: station.clone(),
        request: 7,
        stage: Stage::Arrived,
        minutes: 0.0,
    };
    vec![
        Said::Queue(Queue { station: station.clone(), at: at(99.0, 73.0), queue: 3 }),
        Said::Position(Position { vehicle: id("v"), at: at(96.0, 21.0), trend: Trend::Slow }),
        Said::Shortest(Some(station.clone())),
        Said::Shortest(None),
        Said::Station(Station {
            station: station.clone(),
            at: at(99.0, 73.0),
            queue: 3,
            is_charging: true,
            minutes_per_car: 2.5,
            is_online: false,
        }),
        Said::Ask(ask()),
        Said::Passed(ask()),
        answer(Ok(offer)),
        answer(Err(Reason::Full)),
        Said::Heading(heading.clone()),
        Said::Present(heading),
        place(Outcome::Granted),
        place(Outcome::Full),
        Said::Sector(Sector { quadrant: Quadrant::ALL[2], is_online: true }),
    ]
}

const ASKED: &str = "{'attempt':2,'battery':20,'except':['posto-x'],'latitude':10.5,\
    'longitude':-20,'request':7,'tendencia_descarregamento':'MEDIA','vehicle_id':'vehicle-a'}";

const HEADING: &str = "{'minutes':0,'request':7,'stage':'arrived','station-id':'posto-a',\
    'vehicle_id':'vehicle-a'}";

/// The same as they go over the wire, with the quotes that JSON has.
const WIRE: [(&str, &str); 14] = [
    (
        "fila/posto",
        "{'queue-size':3,'station-id':'posto-a','station-latitude':99,'station-longitude':73}",
    ),
    (
        "veiculo",
        "{'latitude':96,'longitude':21,'tendencia_descarregamento':'LENTA','vehicle_id':'v'}",
    ),
    ("menor/fila", "posto-a"),
    ("menor/fila", ""),
    (
        "posto/posto-a",
        "{'charging':true,'minutes-per-car':2.5,'online':false,'queue-size':3,\
         'station-id':'posto-a','station-latitude':99,'station-longitude':73}",
    ),
    ("veiculo/vehicle-a/pedido", ASKED),
    ("central/pedido", ASKED),
    (
        "veiculo/vehicle-a/posto",
        "{'distance':5,'minutes':12.5,'queue-size':2,'request':7,'station-id':'posto-a',\
         'station-latitude':3,'station-longitude':4,'vehicle_id':'vehicle-a'}",
    ),
    (
        "veiculo/vehicle-a/posto",
        "{'reason':'full','request':7,'station-id':'none','vehicle_id':'vehicle-a'}",
    ),
    ("veiculo/se_dirigindo", HEADING),
    ("posto/posto-a/presente", HEADING),
    (
        "posto/posto-a/vaga",
        "{'place':'granted','reason':null,'request':7,'station-id':'posto-a',\
         'vehicle_id':'vehicle-a'}",
    ),
    (
        "posto/posto-a/vaga",
        "{'place':'refused','reason':'full','request':7,'station-id':'posto-a',\
         'vehicle_id':'vehicle-a'}",
    ),
    ("setor/3", "{'online':true,'quadrant':3}"),
];

fn all() -> Vec<(Said, &'static str, String)> {
    let wire = WIRE.map(|(topic, payload)| (topic, payload.replace('\'', "\"")));
    said().into_iter().zip(wire).map(|(said, (topic, payload))| (said, topic, payload)).collect()
}

#[test]
fn every_message_has_its_topic_and_its_words() {
    for (said, topic, payload) in all() {
        assert_eq!(said.topic(), topic);
        assert_eq!(String::from_utf8(said.encode()).unwrap(), payload, "on {topic}");
        assert_eq!(Said::decode(topic, payload.as_bytes()), Ok(said));
    }
}

#[test]
fn unknown_fields_are_ignored_and_numbers_may_have_a_point() {
    let text = r#"{"x":[1,{"y":null}],"queue-size":3.0,"station-id":"p","#.to_owned()
        + r#""station-latitude":99.0,"station-longitude":-7.25}"#;
    let queue = Queue { station: id("p"), at: at(99.0, -7.25), queue: 3 };
    assert_eq!(Said::decode("fila/posto", text.as_bytes()), Ok(Said::Queue(queue)));
    let text = r#"{"vehicle_id":"v","latitude":1e1,"longitude":-0.5,"battery":99,"#.to_owned()
        + r#""tendencia_descarregamento":"RAPIDA"}"#;
    let position = Position { vehicle: id("v"), at: at(10.0, -0.5), trend: Trend::Fast };
    assert_eq!(Said::decode("veiculo", text.as_bytes()), Ok(Said::Position(position)));
}

/// Without one field after the other, and with each of them a wrong thing.
#[test]
fn a_field_that_is_missing_or_wrong_makes_it_a_bad_message() {
    let may_be_missing = ["attempt", "except", "reason", "vehicle_id"];
    let mut tried = 0;
    for (_, topic, payload) in all() {
        let Ok(serde_json::Value::Object(whole)) = serde_json::from_str(&payload) else { continue };
        for name in whole.keys() {
            for wrong in ["", "[]", "\"\"", "-1", "1e300", "0.5e-9", "true1", "{\"a\":1}"] {
                let mut fields = whole.clone();
                match serde_json::from_str(wrong) {
                    Ok(wrong) => drop(fields.insert(name.clone(), wrong)),
                    Err(_) => drop(fields.remove(name)),
                }
                let text = serde_json::to_string(&fields).unwrap();
                let decoded = Said::decode(topic, text.as_bytes());
                tried += 1;
                let may_be = may_be_missing.contains(&name.as_str())
                    || wrong == "[]" && name == "except"
                    || wrong == "0.5e-9"
                    || wrong == "-1" && name.contains("tude");
                // What a station or a topic names is not asked of the field of that name.
                let is_named = topic.ends_with("/posto") && name == "station-id";
                assert!(decoded.is_err() || may_be || is_named, "{topic} {text}: {decoded:?}");
            }
        }
    }
    assert!(tried > 300, "only {tried} were tried");
}

#[test]
fn what_cannot_be_is_refused() {
    let queue = |station: &str, latitude: &str, queue: &str| {
        let text = format!(
            r#"{{"station-id":{station},"station-latitude":{latitude},"queue-size":{queue},"#
        ) + r#""station-longitude":0}"#;
        Said::decode("fila/posto", text.as_bytes()).err()
    };
    assert_eq!(queue("\"p\"", "100", "0"), None);
    assert_eq!(queue("\"p\"", "100", "10000"), None);
    for (station, latitude, size, field) in [
        ("\"p\"", "100.5", "0", "station-latitude"),
        ("\"p\"", "\"1\"", "0", "station-latitude"),
        ("\"p\"", "0", "-1", "queue-size"),
        ("\"p\"", "0", "1.5", "queue-size"),
        ("\"p\"", "0", "10001", "queue-size"),
        ("\"p\"", "0", "18446744073709551616", "queue-size"),
        ("\"a/b\"", "0", "0", "station-id"),
        ("\"a+\"", "0", "0", "station-id"),
        ("\"#\"", "0", "0", "station-id"),
        ("\"a\\u0000\"", "0", "0", "station-id"),
        ("\"a\\u001b[2J\"", "0", "0", "station-id"),
        ("\"\"", "0", "0", "station-id"),
        ("7", "0", "0", "station-id"),
    ] {
        let bad = queue(station, latitude, size);
        assert_eq!(bad, Some(Bad::Field(field)), "{station} {latitude} {size}");
    }
    let long = |bytes| queue(&format!("\"{}\"", "x".repeat(bytes)), "0", "0");
    assert_eq!((long(64), long(65)), (None, Some(Bad::Field("station-id"))));
}

/// Who may write on one topic only must not speak for others.
#[test]
fn a_message_is_about_whom_its_topic_names() {
    for (said, topic, payload) in all() {
        let Some(other) = topic.strip_prefix("posto/posto-a") else { continue };
        let other = format!("posto/posto-b{other}");
        let decoded = Said::decode(&other, payload.as_bytes());
        assert_eq!(decoded, Err(Bad::Field("station-id")), "{said:?}");
    }
    let asked = String::from_utf8(Said::Ask(ask()).encode()).unwrap();
    let decoded = Said::decode("veiculo/vehicle-b/pedido", asked.as_bytes());
    assert_eq!(decoded, Err(Bad::Field("vehicle_id")));
    assert!(Said::decode("setor/2", br#"{"online":true,"quadrant":3}"#).is_err());
}

#[test]
fn other_topics_and_other_bytes_are_refused() {
    for topic in ["", "/", "posto", "posto/a/b", "veiculo/a", "setor/1/2", "$SYS/x", "fila/posto/"]
    {
        assert_eq!(Said::decode(topic, b"{}"), Err(Bad::Topic), "{topic:?}");
    }
    for payload in [&b""[..], b"[]", b"null", b"{", b"\xff", b"{\"station-id\":\"\xff\"}"] {
        assert_eq!(Said::decode("fila/posto", payload), Err(Bad::NotJson));
    }
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert_eq!(Said::decode("veiculo", &deep), Err(Bad::NotJson));
    let except = vec![id("p"); 9];
    let decoded = Said::decode("central/pedido", &Said::Passed(Ask { except, ..ask() }).encode());
    assert_eq!(decoded, Err(Bad::Field("except")));
}

fn any_id() -> impl Strategy<Value = Id> {
    "[a-z0-9 ç\"\\\\._-]{1,20}".prop_filter_map("an id", |text| Id::new(&text))
}

/// Eighths, which JSON and binary numbers both have exactly.
fn eighths(max: i32) -> impl Strategy<Value = f64> {
    (0..=max * 8).prop_map(|number| f64::from(number) / 8.0)
}

fn any_at() -> impl Strategy<Value = At> {
    (eighths(200), eighths(200)).prop_map(|(y, x)| at(y - 100.0, x - 100.0))
}

prop_compose! {
    fn any_ask()(
        vehicle in any_id(), at in any_at(), battery in eighths(100), request in 0_u64..1 << 53,
        attempt in any::<u32>(), except in prop::collection::vec(any_id(), 0..=8),
        trend in 0..3_usize,
    ) -> Ask {
        Ask { vehicle, at, battery, trend: Trend::ALL[trend], request, attempt, except }
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(ask in any_ask(), other in any_id(), minutes in eighths(500)) {
        let offer = Offer {
            station: other.clone(), at: ask.at, queue: ask.attempt % 10_001, distance: 3.0, minutes,
        };
        let heading = Heading {
            vehicle: ask.vehicle.clone(), station: other, request: ask.request,
            stage: Stage::Going, minutes,
        };
        let (vehicle, request) = (ask.vehicle.clone(), ask.request);
        for said in [
            Said::Ask(ask),
            Said::Answer(Answer { vehicle, request, offer: Ok(offer) }),
            Said::Heading(heading),
        ] {
            prop_assert_eq!(Said::decode(&said.topic(), &said.encode()), Ok(said));
        }
    }

    /// Also cut and with a byte changed: an answer, never a panic.
    #[test]
    fn any_bytes_are_decoded_or_refused(
        which in 0..WIRE.len(), cut in any::<prop::sample::Index>(), byte in any::<u8>(),
        topic in "[a-z/+#0-4]{0,24}", noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let (_, known, payload) = &all()[which];
        let mut bytes = payload.as_bytes().to_vec();
        if !bytes.is_empty() {
            let at = cut.index(bytes.len());
            let is_text = *known == "menor/fila";
            prop_assert!(is_text || Said::decode(known, &bytes[..at]).is_err());
            bytes[at] = byte;
        }
        for payload in [bytes, noise] {
            for topic in [&topic, *known] {
                if let Ok(said) = Said::decode(topic, &payload) {
                    prop_assert_eq!(said.topic(), topic);
                }
            }
        }
    }
}
