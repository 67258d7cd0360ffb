//! Two things that `serde_json` takes for errors, and JavaScript does not: they are mended, and the body is read.

/// The body without lone surrogates and boundless numbers, or `None` when it has none.
pub(super) fn mended(body: &[u8]) -> Option<Vec<u8>> {
    let mut mended = Vec::with_capacity(body.len());
    let (mut at, mut in_text, mut changed) = (0, false, false);
    while let Some(&byte) = body.get(at) {
        let (length, better): (usize, Option<&[u8]>) = match byte {
            b'\\' => escape(body, at),
            b'-' | b'0'..=b'9' if !in_text => number(body, at),
            _ => (1, None),
        };
        in_text ^= byte == b'"';
        changed |= better.is_some();
        mended.extend_from_slice(better.unwrap_or(&body[at..body.len().min(at + length)]));
        at += length;
    }
    changed.then_some(mended)
}

/// Length of the escape at `start`, a surrogate pair counting as one, and what to write instead.
fn escape(body: &[u8], start: usize) -> (usize, Option<&'static [u8]>) {
    match (escaped_unit(body, start), escaped_unit(body, start + 6)) {
        (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, None),
        (Some(0xD800..=0xDFFF), _) => (6, Some(b"\\ufffd")),
        _ => (2, None),
    }
}

/// Length of the number at `start`, and what to write instead.
fn number(body: &[u8], start: usize) -> (usize, Option<&'static [u8]>) {
    let digits = body[start..].iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')).count();
    let boundless = std::str::from_utf8(&body[start..start + digits]).is_ok_and(|it| it.parse().is_ok_and(f64::is_infinite));
    (digits, boundless.then_some(b"null"))
}

/// The UTF-16 unit of the `\uXXXX` escape at `start`.
fn escaped_unit(body: &[u8], start: usize) -> Option<u16> {
    let digits = body.get(start..start + 6)?.strip_prefix(b"\\u")?;
    std::str::from_utf8(digits).ok().and_then(|digits| u16::from_str_radix(digits, 16).ok())
}
