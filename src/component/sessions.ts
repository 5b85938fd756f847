/** An open connection of the process, for outputs that send to it. */
export interface OpenSession {
  /** `session_id` in `__meta_ext` of its messages. */
  readonly id: string;
  /** What is the same in `__meta_ext` of all its messages. */
  readonly ext: Readonly<Record<string, string>>;
  /** Bytes that wait to be sent. */
  readonly buffered: number;
  /** `written` is called when the system has taken the message, or with the error when it never will. */
  send(payload: Uint8Array | string, binary: boolean, written?: (error?: Error | null) => void): void;
  close(code: number, reason: string): void;
}

/** The open connections of the process that outputs may send to. */
export interface SessionDirectory {
  /** An input or output says that it serves `path` (as configured, with its `:parameters`), before anything starts. */
  declare(path: string): void;
  /** Whether anything serves `path`. */
  serves(path: string): boolean;
  /** @returns what takes it out again, when it has closed */
  add(path: string, session: OpenSession): () => void;
  get(id: string): OpenSession | undefined;
  /** The open sessions of a path; the set changes as they come and go. */
  at(path: string): ReadonlySet<OpenSession>;
  /** An output that sends to sessions of `path`, or replies to those of any (undefined), says so before anything starts. */
  attach(path: string | undefined): void;
  /** Whether an output may still send to sessions of `path`, so that they should stay open until it has. */
  attached(path: string): boolean;
}
