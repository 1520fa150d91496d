//! Messages to JSON and back. Unknown fields are ignored; numbers may be written `3` or `3.0`.

use super::{
    Answer, Ask, Bad, Heading, Offer, Outcome, Place, Position, Queue, Reason, Said, Sector, Stage,
    Station,
};
use crate::charging::limits::{
    BATTERY_FULL, DRIVE_MINUTES_MAX, EXCEPT_MAX, MINUTES_PER_CAR_MAX, QUEUE_MAX,
};
use crate::charging::world::{At, Id, Quadrant, Trend};
use serde_json::{Value, json};

/// The longest expected time that an answer may name: a full queue at the slowest station.
const MINUTES_MAX: f64 = DRIVE_MINUTES_MAX + QUEUE_MAX as f64 * MINUTES_PER_CAR_MAX;
/// The longest distance that an answer may name: from corner to corner, rounded up.
const DISTANCE_MAX: f64 = 300.0;
/// Above this a number of JSON is no longer exact everywhere.
const REQUEST_MAX: u64 = 1 << 53;

pub(super) fn encode(said: &Said) -> Vec<u8> {
    let value = match said {
        Said::Shortest(station) => {
            return station.as_ref().map_or(Vec::new(), |id| id.as_str().as_bytes().to_vec());
        }
        Said::Queue(Queue { station, at, queue }) => stationed(station, *at, *queue),
        Said::Position(Position { vehicle, at, trend }) => moving(vehicle, *at, *trend),
        Said::Station(state) => {
            let mut value = stationed(&state.station, state.at, state.queue);
            value["charging"] = json!(state.is_charging);
            value["minutes-per-car"] = number(state.minutes_per_car);
            value["online"] = json!(state.is_online);
            value
        }
        Said::Ask(ask) | Said::Passed(ask) => {
            let mut value = moving(&ask.vehicle, ask.at, ask.trend);
            value["battery"] = number(ask.battery);
            value["request"] = json!(ask.request);
            value["attempt"] = json!(ask.attempt);
            value["except"] = ask.except.iter().map(Id::as_str).collect();
            value
        }
        Said::Answer(answer) => {
            let mut value = match &answer.offer {
                Ok(offer) => {
                    let mut value = stationed(&offer.station, offer.at, offer.queue);
                    value["distance"] = number(offer.distance);
                    value["minutes"] = number(offer.minutes);
                    value
                }
                Err(reason) => json!({ "station-id": "none", "reason": reason.word() }),
            };
            value["vehicle_id"] = json!(answer.vehicle.as_str());
            value["request"] = json!(answer.request);
            value
        }
        Said::Heading(heading) | Said::Present(heading) => json!({
            "vehicle_id": heading.vehicle.as_str(),
            "station-id": heading.station.as_str(),
            "request": heading.request,
            "stage": heading.stage.word(),
            "minutes": number(heading.minutes),
        }),
        Said::Place(place) => {
            let (word, reason) = place.outcome.words();
            json!({
                "station-id": place.station.as_str(),
                "vehicle_id": place.vehicle.as_str(),
                "request": place.request,
                "place": word,
                "reason": reason,
            })
        }
        Said::Sector(Sector { quadrant, is_online }) => {
            json!({ "quadrant": quadrant.number(), "online": is_online })
        }
    };
    value.to_string().into_bytes()
}

fn stationed(station: &Id, at: At, queue: u32) -> Value {
    json!({
        "station-id": station.as_str(),
        "station-latitude": number(at.latitude),
        "station-longitude": number(at.longitude),
        "queue-size": queue,
    })
}

fn moving(vehicle: &Id, at: At, trend: Trend) -> Value {
    json!({
        "vehicle_id": vehicle.as_str(),
        "latitude": number(at.latitude),
        "longitude": number(at.longitude),
        "tendencia_descarregamento": trend.word(),
    })
}

/// Without a point where there is nothing behind it: programs in the wild may read whole numbers.
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 1e15 { json!(x as i64) } else { json!(x) }
}

pub(super) fn decode(topic: &str, payload: &[u8]) -> Result<Said, Bad> {
    let levels: Vec<&str> = topic.split('/').collect();
    if let ["menor", "fila"] = levels[..] {
        return shortest(payload);
    }
    let read = || {
        let value = serde_json::from_slice(payload).ok().filter(Value::is_object);
        value.map(Fields).ok_or(Bad::NotJson)
    };
    Ok(match levels[..] {
        ["fila", "posto"] => Said::Queue(read()?.queue()?),
        ["veiculo"] => Said::Position(read()?.position()?),
        ["veiculo", "se_dirigindo"] => Said::Heading(read()?.heading()?),
        ["veiculo", vehicle, "pedido"] => {
            let ask = read()?.ask()?;
            same(&ask.vehicle, vehicle, "vehicle_id")?;
            Said::Ask(ask)
        }
        ["veiculo", vehicle, "posto"] => {
            let vehicle = Id::new(vehicle).ok_or(Bad::Topic)?;
            Said::Answer(read()?.answer(vehicle)?)
        }
        ["posto", station] => {
            let state = read()?.station()?;
            same(&state.station, station, "station-id")?;
            Said::Station(state)
        }
        ["posto", station, "presente"] => {
            let heading = read()?.heading()?;
            same(&heading.station, station, "station-id")?;
            Said::Present(heading)
        }
        ["posto", station, "vaga"] => {
            let place = read()?.place()?;
            same(&place.station, station, "station-id")?;
            Said::Place(place)
        }
        ["setor", quadrant] => {
            let fields = read()?;
            let sector = Sector { quadrant: fields.quadrant()?, is_online: fields.flag("online")? };
            if sector.quadrant.to_string() != quadrant {
                return Err(Bad::Field("quadrant"));
            }
            Said::Sector(sector)
        }
        ["central", "pedido"] => Said::Passed(read()?.ask()?),
        _ => return Err(Bad::Topic),
    })
}

/// Nothing at all takes a retained one away.
fn shortest(payload: &[u8]) -> Result<Said, Bad> {
    let text = str::from_utf8(payload).map_err(|_| Bad::NotJson)?;
    if text.is_empty() {
        return Ok(Said::Shortest(None));
    }
    Id::new(text).map(|id| Said::Shortest(Some(id))).ok_or(Bad::Field("station-id"))
}

/// Who speaks for another is not believed.
fn same(id: &Id, level: &str, field: &'static str) -> Result<(), Bad> {
    if id.as_str() == level { Ok(()) } else { Err(Bad::Field(field)) }
}

struct Fields(Value);

impl Fields {
    fn queue(&self) -> Result<Queue, Bad> {
        let at = self.at("station-latitude", "station-longitude")?;
        let queue = self.whole("queue-size", u64::from(QUEUE_MAX))? as u32;
        Ok(Queue { station: self.id("station-id")?, at, queue })
    }

    fn position(&self) -> Result<Position, Bad> {
        let at = self.at("latitude", "longitude")?;
        let words = Trend::ALL.map(|trend| (trend.word(), trend));
        let trend = self.word("tendencia_descarregamento", &words)?;
        Ok(Position { vehicle: self.id("vehicle_id")?, at, trend })
    }

    fn station(&self) -> Result<Station, Bad> {
        let Queue { station, at, queue } = self.queue()?;
        let minutes_per_car = self.up_to("minutes-per-car", MINUTES_PER_CAR_MAX)?;
        let (is_charging, is_online) = (self.flag("charging")?, self.flag("online")?);
        Ok(Station { station, at, queue, is_charging, minutes_per_car, is_online })
    }

    fn ask(&self) -> Result<Ask, Bad> {
        let Position { vehicle, at, trend } = self.position()?;
        let battery = self.up_to("battery", BATTERY_FULL)?;
        let request = self.whole("request", REQUEST_MAX)?;
        let attempt = match &self.0["attempt"] {
            Value::Null => 1,
            _ => self.whole("attempt", u64::from(u32::MAX))? as u32,
        };
        let except = match &self.0["except"] {
            Value::Null => Vec::new(),
            value => {
                let ids = value.as_array().filter(|ids| ids.len() <= EXCEPT_MAX);
                let id = |value: &Value| value.as_str().and_then(Id::new);
                let ids = ids.and_then(|ids| ids.iter().map(id).collect());
                ids.ok_or(Bad::Field("except"))?
            }
        };
        Ok(Ask { vehicle, at, battery, trend, request, attempt, except })
    }

    fn answer(&self, vehicle: Id) -> Result<Answer, Bad> {
        let request = self.whole("request", REQUEST_MAX)?;
        // A station may be called `none`; then there is no reason.
        let offer = if self.0["reason"].is_null() {
            let Queue { station, at, queue } = self.queue()?;
            let distance = self.up_to("distance", DISTANCE_MAX)?;
            let minutes = self.up_to("minutes", MINUTES_MAX)?;
            Ok(Offer { station, at, queue, distance, minutes })
        } else {
            Err(self.word("reason", &Reason::ALL.map(|reason| (reason.word(), reason)))?)
        };
        Ok(Answer { vehicle, request, offer })
    }

    fn heading(&self) -> Result<Heading, Bad> {
        Ok(Heading {
            vehicle: self.id("vehicle_id")?,
            station: self.id("station-id")?,
            request: self.whole("request", REQUEST_MAX)?,
            stage: self.word("stage", &Stage::ALL.map(|stage| (stage.word(), stage)))?,
            minutes: self.up_to("minutes", DRIVE_MINUTES_MAX)?,
        })
    }

    fn place(&self) -> Result<Place, Bad> {
        let said = (self.0["place"].as_str().unwrap_or_default(), self.0["reason"].as_str());
        let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.words() == said);
        Ok(Place {
            station: self.id("station-id")?,
            vehicle: self.id("vehicle_id")?,
            request: self.whole("request", REQUEST_MAX)?,
            outcome: outcome.ok_or(Bad::Field("place"))?,
        })
    }

    fn quadrant(&self) -> Result<Quadrant, Bad> {
        Quadrant::new(self.whole("quadrant", 4)?).ok_or(Bad::Field("quadrant"))
    }

    fn id(&self, name: &'static str) -> Result<Id, Bad> {
        self.0[name].as_str().and_then(Id::new).ok_or(Bad::Field(name))
    }

    fn at(&self, latitude: &'static str, longitude: &'static str) -> Result<At, Bad> {
        let y = self.0[latitude].as_f64().ok_or(Bad::Field(latitude))?;
        let x = self.0[longitude].as_f64().ok_or(Bad::Field(longitude))?;
        At::new(y, x).ok_or(Bad::Field(latitude))
    }

    fn flag(&self, name: &'static str) -> Result<bool, Bad> {
        self.0[name].as_bool().ok_or(Bad::Field(name))
    }

    fn up_to(&self, name: &'static str, max: f64) -> Result<f64, Bad> {
        let number = self.0[name].as_f64().filter(|x| (0.0..=max).contains(x));
        number.ok_or(Bad::Field(name))
    }

    /// A number without a fraction, however it is written.
    fn whole(&self, name: &'static str, max: u64) -> Result<u64, Bad> {
        let value = &self.0[name];
        let number = value.as_u64().or_else(|| {
            let x = value.as_f64()?;
            (x.fract() == 0.0 && (0.0..=REQUEST_MAX as f64).contains(&x)).then_some(x as u64)
        });
        number.filter(|number| *number <= max).ok_or(Bad::Field(name))
    }

    fn word<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> Result<T, Bad> {
        let said = self.0[name].as_str();
        let found = words.iter().find(|(word, _)| said == Some(word));
        found.map(|(_, meant)| *meant).ok_or(Bad::Field(name))
    }
}
