//! The proof bundle: the file that proves one issued token offline.
