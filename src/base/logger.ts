/** What the program says about itself. `log` is always the user's data; this is `logger`. */

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const

export type LogLevel = (typeof LOG_LEVELS)[number]

/** Facts beside a message; JSON-compatible, never record contents. */
export type LogFields = Readonly<Record<string, unknown>>

export interface Logger {
  trace(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A logger whose lines name the part of the engine they come from, such as `tiering`. */
  child(part: string): Logger
}

export const silentLogger: Logger = {
  trace: () => {},
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
}

export interface LogEntry {
  readonly level: LogLevel
  readonly part: string
  readonly message: string
  readonly fields: LogFields
}

/** Keeps every entry in order; for tests. */
export class MemoryLogger implements Logger {
  readonly entries: LogEntry[]
  readonly #part: string

  constructor(part = '', entries: LogEntry[] = []) {
    this.#part = part
    this.entries = entries
  }

  trace(message: string, fields: LogFields = {}): void {
    this.#add('trace', message, fields)
  }
  debug(message: string, fields: LogFields = {}): void {
    this.#add('debug', message, fields)
  }
  info(message: string, fields: LogFields = {}): void {
    this.#add('info', message, fields)
  }
  warn(message: string, fields: LogFields = {}): void {
    this.#add('warn', message, fields)
  }
  error(message: string, fields: LogFields = {}): void {
    this.#add('error', message, fields)
  }
  child(part: string): Logger {
    return new MemoryLogger(part, this.entries)
  }

  #add(level: LogLevel, message: string, fields: LogFields): void {
    this.entries.push({ level, part: this.#part, message, fields })
  }
}
