//! `php`: whatever the bytes, an error, or a session that is written as it was read, and one variable of which can be changed.

#![no_main]

use cloakroom_php::Format;
use libfuzzer_sys::fuzz_target;

mod any_format;

fuzz_target!(|payload: &[u8]| any_format::session(Format::Php, payload));
