//! Templates of commands.
//!
//! `SET <s> <v> [EX <ttl>|KEEPTTL|] [NX|]`: words as they are; `<name>` is drawn; of `[a|b|]` one alternative is taken, which
//! may be empty; `{a b}` is repeated one to four times.

use super::Command;
use super::draw::Draw;

/// A parsed template.
#[derive(Debug, Clone)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Word(String),
    Drawn(String),
    OneOf(Vec<Vec<Part>>),
    Repeated(Vec<Part>),
}

impl Template {
    pub(super) fn parse(text: &str) -> Template {
        let spaced: String = text.chars().fold(String::new(), |mut out, c| {
            if "[]{}|".contains(c) {
                out.extend([' ', c, ' ']);
            } else {
                out.push(c);
            }
            out
        });
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut at = 0;
        let alternatives = parse_alternatives(&words, &mut at, text);
        let [parts] = <[Vec<Part>; 1]>::try_from(alternatives).unwrap_or_else(|_| panic!("{text}: stray |"));
        assert_eq!(at, words.len(), "{text}: stray bracket");
        Template(parts)
    }

    /// A command of this form.
    pub(super) fn fill(&self, draw: &mut Draw) -> Command {
        let mut command = Vec::new();
        fill(&self.0, draw, &mut command);
        command
    }
}

/// Up to a closing bracket or the end, which is not taken.
fn parse_alternatives(words: &[&str], at: &mut usize, text: &str) -> Vec<Vec<Part>> {
    let mut alternatives = vec![Vec::new()];
    while let Some(&word) = words.get(*at) {
        let part = match word {
            "]" | "}" => break,
            "|" => {
                alternatives.push(Vec::new());
                *at += 1;
                continue;
            }
            "[" | "{" => {
                *at += 1;
                let inside = parse_alternatives(words, at, text);
                let closing = words.get(*at).copied();
                assert_eq!(closing, Some(if word == "[" { "]" } else { "}" }), "{text}");
                match word {
                    "[" => Part::OneOf(inside),
                    _ => Part::Repeated(inside.into_iter().next().unwrap_or_default()),
                }
            }
            _ => match word.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
                Some(name) => Part::Drawn(name.to_owned()),
                None => Part::Word(word.to_owned()),
            },
        };
        *at += 1;
        alternatives.last_mut().expect("begins with one").push(part);
    }
    alternatives
}

fn fill(parts: &[Part], draw: &mut Draw, command: &mut Command) {
    for part in parts {
        match part {
            Part::Word(word) => command.push(word.clone().into_bytes()),
            Part::Drawn(name) => command.push(draw.named(name)),
            Part::OneOf(alternatives) => {
                let at = draw.rng.below(alternatives.len() as u64) as usize;
                fill(&alternatives[at], draw, command);
            }
            Part::Repeated(parts) => {
                for _ in 0..1 + draw.rng.below(4) {
                    fill(parts, draw, command);
                }
            }
        }
    }
}
