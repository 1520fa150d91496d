//! Which names an archive may hold.

use crate::tasks::limits::{DEPTH_MAX, NAME_BYTES_MAX, PART_BYTES_MAX};
use rawzip::path::ZipFilePath;

/// What is wrong with a name, if anything is. A folder's name ends with `/`.
///
/// One that means something else to another program is wrong, even where it is harmless to us.
pub fn flaw(name: &str) -> Option<&'static str> {
    let plain = name.strip_suffix('/').unwrap_or(name);
    let mut parts = plain.split('/');
    if name.starts_with('/') {
        Some("it is absolute")
    } else if plain.contains('\\') {
        Some("it has a backslash")
    } else if plain.contains(':') {
        Some("it has a colon, as drives have")
    } else if plain.chars().any(char::is_control) {
        Some("it has a control character")
    } else if parts.clone().any(|part| part == "..") {
        Some("it leads out of its folder")
    } else if parts.clone().any(|part| part.is_empty() || part == ".") {
        Some("it has an empty part")
    } else if plain.len() > NAME_BYTES_MAX || parts.any(|part| part.len() > PART_BYTES_MAX) {
        Some("it is too long")
    } else if plain.split('/').count() > DEPTH_MAX {
        Some("it lies too deep")
    } else if ZipFilePath::from_str(name).as_str() != name {
        Some("it can be read in two ways")
    } else {
        None
    }
}
