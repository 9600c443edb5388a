// placeholder until the real one lands
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a http::Method,
    pub(crate) uri: &'a http::Uri,
    pub(crate) headers: &'a http::HeaderMap,
    pub(crate) secure: bool,
}
#[derive(Debug)]
pub(crate) enum Verdict {
    Safe,
    SameOrigin,
    NeedsToken,
    Refused(&'static str),
}
pub(crate) fn check(_: &Asked<'_>, _: &[String]) -> Verdict {
    Verdict::Safe
}
pub(crate) fn issue(_: &[u8; 32]) -> String {
    String::new()
}
pub(crate) fn verify(_: &[u8; 32], _: &str) -> bool {
    false
}
