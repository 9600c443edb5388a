//! `php`, `php_serialize` and `php_binary`: whatever the bytes, an error, or a session that is written as it was read, and one variable of
//! which can be changed without touching another.

#![no_main]

use cloakroom_php::Format;
use libfuzzer_sys::fuzz_target;

mod php;

fuzz_target!(|input: &[u8]| {
    let Some((choice, payload)) = input.split_first() else { return };
    let format = [Format::Php, Format::PhpSerialize, Format::PhpBinary][usize::from(*choice) % 3];
    php::session(format, payload);
});
