/** How long a peer has to answer a close frame, in milliseconds. */
export const CLOSE_TIMEOUT = 10_000;

/** For the `closeTimeout` of `ws`, which runs on while we don't read. Code that holds sessions has its own clock. */
export const NO_TIMEOUT = 2 ** 31 - 1;
