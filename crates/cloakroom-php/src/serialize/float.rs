//! Doubles as text, the way PHP writes them with
//! [`serialize_precision=-1`](https://www.php.net/manual/en/ini.core.php#ini.serialize-precision), its default.

use std::io::Write;

/// Appends the shortest digits that read back as the same double, laid out as PHP lays them out: 1.0E+25, 0.0001, 1000000000000000.
pub(crate) fn write(out: &mut Vec<u8>, float: f64) {
    if float.is_nan() {
        return out.extend_from_slice(b"NAN");
    }
    if float.is_infinite() {
        return out.extend_from_slice(if float > 0.0 { b"INF" } else { b"-INF" });
    }
    if float.is_sign_negative() {
        out.push(b'-');
    }
    if float == 0.0 {
        return out.push(b'0');
    }
    if write_price(out, float.abs()) {
        return;
    }
    // `d.ddde±x`: at most 17 digits, a point, an `e`, a sign and three digits. Writing to a vector cannot fail.
    let mut text = Vec::with_capacity(32);
    let _ = write!(text, "{:e}", float.abs());
    round_to_even(&mut text, float.abs());
    let e = memchr::memchr(b'e', &text).unwrap_or(text.len());
    let (mantissa, exponent) = text.split_at(e);
    let exponent: i32 =
        exponent.get(1..).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0);
    let mut digits = mantissa.iter().copied().filter(u8::is_ascii_digit);
    let count = if mantissa.len() > 1 { mantissa.len() - 1 } else { 1 };

    if !(-4..17).contains(&exponent) {
        out.extend(digits.next());
        out.push(b'.');
        if count == 1 {
            out.push(b'0')
        } else {
            out.extend(digits)
        }
        out.extend_from_slice(if exponent < 0 { b"E-" } else { b"E+" });
        out.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', exponent.unsigned_abs() as usize - 1));
        out.extend(digits);
    } else {
        let whole = exponent.unsigned_abs() as usize + 1;
        out.extend(digits.by_ref().take(whole));
        if count > whole {
            out.push(b'.');
            out.extend(digits);
        } else {
            out.extend(std::iter::repeat_n(b'0', whole - count));
        }
    }
}

/// Numbers with up to four decimals and 15 digits, as most are, need no search for the shortest text: of the texts so short, no two are
/// the same double.
fn write_price(out: &mut Vec<u8>, float: f64) -> bool {
    // Both are whole and exact, so the quotient is the double that is nearest to the text.
    let is_it =
        |scaled: u64, scale: u32| scaled < 1_000_000_000_000_000 && scaled as f64 / f64::from(scale) == float;
    let scaled = |scale: u32| (float * f64::from(scale) + 0.5) as u64;
    let Some(scale) = [100, 10_000].into_iter().find(|scale| is_it(scaled(*scale), *scale)) else {
        return false;
    };
    let scaled = scaled(scale);
    let (whole, mut decimals) = (scaled / u64::from(scale), scaled % u64::from(scale));
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    let mut unit = u64::from(scale) / 10;
    if decimals > 0 {
        out.push(b'.');
    }
    while decimals > 0 {
        out.push(b'0' + (decimals / unit) as u8);
        decimals %= unit;
        unit /= 10;
    }
    true
}

/// Where two shortest texts are equally near, PHP takes the one that ends in an even digit, and Rust the greater one.
///
/// Only doubles that take 16 digits or more have two such texts.
fn round_to_even(text: &mut Vec<u8>, float: f64) {
    let Some(digits @ 16..) = memchr::memchr(b'e', text).map(|e| e - 1) else { return };
    let mut nearest = Vec::with_capacity(32);
    // So many digits of what the double is exactly, rounded to even.
    let _ = write!(nearest, "{:.*e}", digits - 1, float);
    let reads_back = std::str::from_utf8(&nearest).ok().and_then(|text| text.parse().ok()) == Some(float);
    if reads_back && nearest != *text {
        *text = nearest;
    }
}

/// Where a point and up to 15 digits are all there is, the digits are a whole number that a double holds exactly, as it does the power of ten: their
/// quotient is the double that is nearest to the text.
fn read_price(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (mut n, mut digits, mut decimals) = (0_u64, 0, None);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits < 15 => {
                n = 10 * n + u64::from(byte - b'0');
                digits += 1;
            }
            b'.' if decimals.is_none() => decimals = Some(digits),
            _ => return None,
        }
    }
    let power = POWERS.get(digits - decimals.unwrap_or(digits)).filter(|_| digits > 0)?;
    Some(n as f64 / power)
}

/// Reads what PHP's scanner takes for a double: `INF`, `-INF`, `NAN`, or decimal digits with a point, an exponent and a sign where one likes.
pub(crate) fn read(text: &[u8]) -> Option<f64> {
    if let Some(float) = read_price(text) {
        return Some(float);
    }
    match text {
        b"INF" => return Some(f64::INFINITY),
        b"-INF" => return Some(f64::NEG_INFINITY),
        b"NAN" => return Some(f64::NAN),
        _ => {}
    }
    // Rust's parser takes the same numbers, and a few words besides.
    let digits = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E'));
    if !digits {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn doubles_are_laid_out_as_php_lays_them_out() {
        for (float, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (0.0001, "0.0001"),
            (0.00001, "1.0E-5"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (1e17, "1.0E+17"),
            (1e25, "1.0E+25"),
            (f64::MAX, "1.7976931348623157E+308"),
            (5e-324, "5.0E-324"),
            (123_456_789.123_456_78, "123456789.12345678"),
            // Two texts are equally near.
            (155_449_379_689_344.0 + 0.125, "155449379689344.12"),
            (155_449_379_689_344.0 + 0.375, "155449379689344.38"),
            (-155_449_379_689_344.0 - 0.625, "-155449379689344.62"),
            (f64::NAN, "NAN"),
            (f64::NEG_INFINITY, "-INF"),
        ] {
            let mut out = Vec::new();
            super::write(&mut out, float);
            assert_eq!(String::from_utf8(out).unwrap(), text);
            assert_eq!(super::read(text.as_bytes()).unwrap().is_nan(), float.is_nan());
        }
    }

    /// The short way and the long way are one.
    #[test]
    fn prices_are_written_as_any_double() {
        let mut seed = 1_u64;
        for n in 0..200_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let scale = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6][(n % 7) as usize];
            let float = (seed >> (11 + n % 50)) as f64 / scale;
            let mut out = Vec::new();
            super::write(&mut out, float);
            let text = format!("{float:?}");
            let text = text.strip_suffix(".0").unwrap_or(&text);
            // Of more digits, PHP and Rust may write another one in the end.
            if text.bytes().filter(u8::is_ascii_digit).count() < 16 && !text.contains('e') {
                assert_eq!(String::from_utf8(out).unwrap(), text);
            } else {
                assert_eq!(super::read(&out), Some(float));
            }
        }
    }

    #[test]
    fn prices_are_read_as_any_double() {
        let mut seed = 1_u64;
        for n in 0..200_000_u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut text = format!("{:0width$}", seed >> (n % 64), width = (n % 20) as usize);
            text.insert(seed as usize % (text.len() + 1), '.');
            let float: f64 = text.parse().unwrap();
            assert_eq!(super::read(text.as_bytes()).map(f64::to_bits), Some(float.to_bits()), "{text}");
        }
    }

    #[test]
    fn words_and_hexadecimals_are_no_doubles() {
        for text in
            ["", ".", "+", "e5", "nan", "inf", "infinity", "+INF", "-NAN", "0x1p3", " 1", "1 ", "1e", "--1"]
        {
            assert_eq!(super::read(text.as_bytes()), None, "{text}");
        }
        for text in [".5", "5.", "1e5", "+1.5", "1E-5", "1e999"] {
            assert!(super::read(text.as_bytes()).is_some(), "{text}");
        }
    }
}
