//! In which form a body may come: as its bytes, and in no envelope.
//!
//! What is wrapped or compressed would be kept as it comes, under the CID of the envelope. Nothing is undone here, so it
//! is refused, with what to send in its place.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::middleware::Next;
use axum::response::Response;

use super::error::{Error, Result};

/// Characters of a foreign value that a refusal repeats.
const TOLD_MAX: usize = 40;

/// Lets through a request whose body is not encoded, and that expects nothing but to be told to go on.
pub(super) async fn check(request: Request, next: Next) -> Result<Response> {
    let headers = request.headers();
    is_expectation_known(headers)?;
    is_transfer_plain(headers)?;
    if request.method() == Method::POST {
        is_content_plain(headers)?;
    }
    Ok(next.run(request).await)
}

/// Refuses a form with files in it, and a part of something.
pub(super) fn bytes_alone(headers: &HeaderMap) -> Result<()> {
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Error::Malformed("content is put as a whole: leave out Content-Range".to_owned()));
    }
    let is_multipart = headers.get_all(header::CONTENT_TYPE).iter().any(|value| {
        value.as_bytes().get(..10).is_some_and(|begin| begin.eq_ignore_ascii_case(b"multipart/"))
    });
    if is_multipart {
        let message = "a multipart body is an envelope, which would be kept with the bytes: send the bytes alone \
                       (curl --data-binary @FILE in the place of -F file=@FILE)";
        return Err(Error::Coding(message.to_owned()));
    }
    Ok(())
}

fn is_expectation_known(headers: &HeaderMap) -> Result<()> {
    let is_known = words(headers, &header::EXPECT).all(|word| word.eq_ignore_ascii_case("100-continue"));
    if is_known { Ok(()) } else { Err(Error::Expectation) }
}

/// HTTP/1.1 undoes `chunked`, once; codings below it are refused.
fn is_transfer_plain(headers: &HeaderMap) -> Result<()> {
    let mut words = words(headers, &header::TRANSFER_ENCODING);
    let first = words.find(|word| !word.eq_ignore_ascii_case("chunked"));
    if let Some(word) = first {
        let word = told(&word);
        let message = format!(
            "Transfer-Encoding {word} is not undone here: send the bytes as they are to be kept, with Content-Length \
             or chunked"
        );
        return Err(Error::Coding(message));
    }
    if self::words(headers, &header::TRANSFER_ENCODING).count() > 1 {
        return Err(Error::Malformed("Transfer-Encoding names chunked more than once".to_owned()));
    }
    Ok(())
}

fn is_content_plain(headers: &HeaderMap) -> Result<()> {
    let mut words = words(headers, &header::CONTENT_ENCODING);
    let Some(word) = words.find(|word| !word.eq_ignore_ascii_case("identity")) else { return Ok(()) };
    let word = told(&word);
    Err(Error::Coding(format!(
        "Content-Encoding {word} is not undone here: send the bytes as they are to be kept, without Content-Encoding"
    )))
}

/// The words of a header that is a list, over all its lines. What is no text is a word of its own.
fn words<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> + use<'a> {
    headers.get_all(name).iter().flat_map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let words: Vec<String> = text.split(',').map(|word| word.trim().to_owned()).collect();
        words.into_iter().filter(|word| !word.is_empty())
    })
}

/// The beginning of a word from outside, without what could steer a terminal.
fn told(word: &str) -> String {
    word.chars().filter(|letter| letter.is_ascii_graphic()).take(TOLD_MAX).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn a_compressed_body_is_refused_however_it_is_said() {
        for values in [&[][..], &["identity"], &["Identity"], &["identity, identity"], &[""], &[", identity"]]
        {
            is_content_plain(&headers(header::CONTENT_ENCODING, values)).unwrap();
        }
        for values in [
            &["gzip"][..],
            &["GZIP"],
            &["x-gzip"],
            &["br"],
            &["zstd"],
            &["identity, gzip"],
            &["identity", "deflate"],
            &["aes128gcm"],
            &["\u{e9}"],
            &["none"],
        ] {
            let refused = is_content_plain(&headers(header::CONTENT_ENCODING, values)).unwrap_err();
            assert!(matches!(refused, Error::Coding(_)), "{values:?}");
        }
    }

    #[test]
    fn only_chunks_are_undone() {
        for values in [&[][..], &["chunked"], &["Chunked"]] {
            is_transfer_plain(&headers(header::TRANSFER_ENCODING, values)).unwrap();
        }
        for values in [&["gzip, chunked"][..], &["gzip", "chunked"], &["x, chunked"], &["chunked, chunked"]] {
            is_transfer_plain(&headers(header::TRANSFER_ENCODING, values)).unwrap_err();
        }
    }

    #[test]
    fn nothing_is_expected_but_to_go_on() {
        for values in [&[][..], &["100-continue"], &["100-Continue"]] {
            is_expectation_known(&headers(header::EXPECT, values)).unwrap();
        }
        for values in [&["200-ok"][..], &["100-continue, more"], &["100-continue=1"]] {
            is_expectation_known(&headers(header::EXPECT, values)).unwrap_err();
        }
    }

    #[test]
    fn a_form_with_files_is_refused() {
        for value in ["multipart/form-data; boundary=x", "Multipart/Form-Data", "multipart/mixed"] {
            let refused = bytes_alone(&headers(header::CONTENT_TYPE, &["text/plain", value])).unwrap_err();
            assert!(matches!(refused, Error::Coding(_)), "{value}");
        }
        for value in
            ["application/octet-stream", "application/x-www-form-urlencoded", "multi", "nonsense", ""]
        {
            bytes_alone(&headers(header::CONTENT_TYPE, &[value])).unwrap();
        }
        bytes_alone(&headers(header::CONTENT_RANGE, &["bytes 0-1/3"])).unwrap_err();
    }
}
