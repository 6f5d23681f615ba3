//! Checks a label selector before it is sent: the API server would refuse a wrong one at each list, for ever.
//!
//! The grammar is that of `k8s.io/apimachinery/pkg/labels`; a test asks an API server the same.

/// A word or a symbol of a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Symbol(&'a str),
}

/// Checks the syntax of a label selector such as `team=payments,env in (test,prod),!legacy`.
///
/// # Errors
/// Returns what is wrong, for a person.
pub fn check_selector(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("it is empty; to keep the objects of all labels, leave it out".to_owned());
    }
    let tokens = tokens(text);
    let mut rest = tokens.as_slice();
    loop {
        rest = requirement(rest)?;
        match rest {
            [] => return Ok(()),
            [Token::Symbol(","), after @ ..] if !after.is_empty() => rest = after,
            [Token::Symbol(","), ..] => return Err("it ends with a comma".to_owned()),
            [token, ..] => return Err(format!("{} is out of place", said(*token))),
        }
    }
}

fn said(token: Token<'_>) -> String {
    let (Token::Word(text) | Token::Symbol(text)) = token;
    format!("`{text}`")
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let is_symbol = |c: char| "=!(),<>".contains(c);
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_symbol(first) {
            if rest.starts_with("==") || rest.starts_with("!=") { 2 } else { first.len_utf8() }
        } else {
            rest.find(|c: char| is_symbol(c) || c.is_whitespace()).unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(length);
        tokens.push(if is_symbol(first) { Token::Symbol(token) } else { Token::Word(token) });
        rest = after.trim_start();
    }
    tokens
}

/// Reads one requirement. Returns what follows it.
fn requirement<'t, 'a>(tokens: &'t [Token<'a>]) -> Result<&'t [Token<'a>], String> {
    match tokens {
        [Token::Symbol("!"), Token::Word(key), rest @ ..] => is_key(key).map(|()| rest),
        [Token::Word(key), rest @ ..] => {
            is_key(key)?;
            match rest {
                [Token::Symbol("=" | "==" | "!="), Token::Word(value), rest @ ..] => {
                    is_value(value).map(|()| rest)
                }
                // `key=` asks for an empty value.
                [Token::Symbol("=" | "==" | "!="), rest @ ..] => Ok(rest),
                [Token::Symbol(sign @ ("<" | ">")), Token::Word(value), rest @ ..] => {
                    let number = value.parse::<i64>();
                    number.map(|_| rest).map_err(|_| format!("`{sign}` needs a whole number after it"))
                }
                [Token::Word("in" | "notin"), Token::Symbol("("), rest @ ..] => values(rest),
                [Token::Word(word @ ("in" | "notin")), ..] => {
                    Err(format!("`{word}` needs values in parentheses after it, such as `{word} (a,b)`"))
                }
                // `key` alone asks for the label.
                rest => Ok(rest),
            }
        }
        [token, ..] => Err(format!("{} is out of place", said(*token))),
        [] => Err("a label is missing".to_owned()),
    }
}

/// Reads values up to the closing parenthesis. An empty one is a value as well.
fn values<'t, 'a>(tokens: &'t [Token<'a>]) -> Result<&'t [Token<'a>], String> {
    let end = tokens.iter().position(|token| *token == Token::Symbol(")"));
    let Some(end) = end else { return Err("a `)` is missing".to_owned()) };
    for part in tokens[..end].split(|token| *token == Token::Symbol(",")) {
        match part {
            [] => {}
            [Token::Word(value)] => is_value(value)?,
            [_, token, ..] | [token @ Token::Symbol(_)] => {
                return Err(format!("{} is out of place", said(*token)));
            }
        }
    }
    Ok(&tokens[end + 1..])
}

/// A name of at most 63 characters, perhaps after a DNS name and a slash.
fn is_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let good = prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(label));
    if good && !name.is_empty() && is_name(name) {
        Ok(())
    } else {
        Err(format!("`{key}` can't be the name of a label"))
    }
}

fn is_value(value: &str) -> Result<(), String> {
    if is_name(value) { Ok(()) } else { Err(format!("`{value}` can't be the value of a label")) }
}

fn is_name(text: &str) -> bool {
    let ends = |b: Option<u8>| b.is_none_or(|b| b.is_ascii_alphanumeric());
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.len() <= 63 && text.bytes().all(inner) && ends(text.bytes().next()) && ends(text.bytes().next_back())
}
