//! The name of a stack.

/// Characters that the longest name in a stack adds to the stack's: `-verifier`.
const ADDED: usize = "-verifier".len();

/// Characters of a function's name at most (Lambda API, CreateFunction).
const LONGEST_FUNCTION: usize = 64;

/// A stack's name, of which the names of its functions are made.
///
/// Errors: a sentence, if they would be longer than Lambda takes them.
pub fn stack_name(given: &str) -> Result<String, String> {
    let longest = LONGEST_FUNCTION - ADDED;
    match given.chars().count() {
        length if length > longest => Err(format!(
            "expected at most {longest} characters, got {length}: the functions are called after the stack, and Lambda \
             takes names of {LONGEST_FUNCTION}"
        )),
        _ => Ok(given.to_owned()),
    }
}
