//! A server's sensors: drawn at random or read from a CSV file (spec: Queries).

use crate::grid::limits::{
    EFFICIENCY_PERCENT_MAX, POWER_W_MAX, SENSORS_MAX, SENSORS_MIN, SENSORS_SHOWN_MAX,
};
use crate::net::dice::Dice;

/// What stands in the first line of a file of sensors, or is left out.
const HEADER: &str = "id,power,efficiency";

/// One sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensor {
    /// Unique in its network.
    pub id: u32,
    /// In watts, 0 to [`POWER_W_MAX`].
    pub power: u32,
    /// In percent, 0 to [`EFFICIENCY_PERCENT_MAX`].
    pub efficiency: u32,
}

impl Sensor {
    /// Useful power in watts, without its fraction.
    pub fn useful(&self) -> u32 {
        self.power * self.efficiency / 100
    }
}

/// As many sensors as the dice say, numbered from 0.
pub fn draw(dice: &mut Dice) -> Vec<Sensor> {
    let count = SENSORS_MIN as u32 + dice.roll((SENSORS_MAX - SENSORS_MIN + 1) as u32);
    let mut sensor = |id| Sensor {
        id,
        power: dice.roll(POWER_W_MAX + 1),
        efficiency: dice.roll(EFFICIENCY_PERCENT_MAX + 1),
    };
    (0..count).map(&mut sensor).collect()
}

/// The sensors in `text`, one `id,power,efficiency` a line. `Err` names the line, counted from 1,
/// and what is wrong with it. Blank lines, lines that begin with `#` and a first line that names
/// the columns are passed over.
pub fn parse(text: &str) -> Result<Vec<Sensor>, String> {
    let mut sensors: Vec<Sensor> = Vec::new();
    let mut has_rows = false;
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let row = line.trim();
        let is_header = !has_rows && row.replace(' ', "").eq_ignore_ascii_case(HEADER);
        if row.is_empty() || row.starts_with('#') {
            continue;
        }
        has_rows = true;
        if is_header {
            continue;
        }
        let sensor = parse_row(row).and_then(|sensor| match sensors.len() {
            SENSORS_MAX => Err(format!("a server has at most {SENSORS_MAX} sensors")),
            _ if sensors.iter().any(|other| other.id == sensor.id) => {
                Err(format!("sensor {} was given before", sensor.id))
            }
            _ => Ok(sensor),
        });
        sensors.push(sensor.map_err(|why| format!("line {}: {why}", index + 1))?);
    }
    if sensors.len() < SENSORS_MIN {
        let count = sensors.len();
        return Err(format!("a server has at least {SENSORS_MIN} sensors, and here are {count}"));
    }
    Ok(sensors)
}

fn parse_row(row: &str) -> Result<Sensor, String> {
    let fields: Vec<&str> = row.split(',').map(str::trim).collect();
    let [id, power, efficiency] = fields[..] else {
        return Err(format!("expected `{HEADER}`, found `{}`", shown(row)));
    };
    Ok(Sensor {
        id: number("id", id, u32::MAX)?,
        power: number("power", power, POWER_W_MAX)?,
        efficiency: number("efficiency", efficiency, EFFICIENCY_PERCENT_MAX)?,
    })
}

fn number(name: &str, text: &str, max: u32) -> Result<u32, String> {
    // `parse` would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|value| digits && *value <= max);
    value.ok_or_else(|| {
        format!("{name} is a whole number from 0 to {max}, and not `{}`", shown(text))
    })
}

/// The beginning of what is wrong.
fn shown(text: &str) -> String {
    let is_cut = text.chars().nth(SENSORS_SHOWN_MAX).is_some();
    let start: String = text.chars().take(SENSORS_SHOWN_MAX).collect();
    format!("{}{}", start.escape_debug(), if is_cut { "..." } else { "" })
}
