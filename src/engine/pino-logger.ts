/**
 * The logger of a running engine: structured lines on standard error, by `pino`, loaded when the first line is written.
 */
import { createRequire } from 'node:module'
import type { Logger as Pino } from 'pino'
import {
  LOG_LEVELS,
  type LogFields,
  type LogLevel,
  type Logger,
  silentLogger,
} from '../base/logger.ts'

/** Levels by part: `info`, or `info,tiering=debug`. Unknown words are ignored. */
export function parseLogLevels(text: string): {
  readonly level: LogLevel
  readonly parts: ReadonlyMap<string, LogLevel>
} {
  const parts = new Map<string, LogLevel>()
  let level: LogLevel = 'warn'
  for (const word of text.split(',')) {
    const [name = '', value] = word.trim().split('=')
    if (value === undefined && isLevel(name)) level = name
    if (value !== undefined && isLevel(value)) parts.set(name, value)
  }
  return { level, parts }
}

export function createLogger(levels: string): Logger {
  const { level, parts } = parseLogLevels(levels)
  if (level === 'silent' && parts.size === 0) return silentLogger
  let root: Pino | null = null
  const open = (): Pino => (root ??= openPino())
  return new PartLogger('', level, parts, open)
}

class PartLogger implements Logger {
  readonly #part: string
  readonly #rank: number
  readonly #level: LogLevel
  readonly #parts: ReadonlyMap<string, LogLevel>
  readonly #open: () => Pino

  constructor(
    part: string,
    level: LogLevel,
    parts: ReadonlyMap<string, LogLevel>,
    open: () => Pino,
  ) {
    this.#part = part
    this.#level = level
    this.#parts = parts
    this.#open = open
    this.#rank = LOG_LEVELS.indexOf(parts.get(part) ?? level)
  }

  trace(message: string, fields?: LogFields): void {
    this.#write('trace', message, fields)
  }
  debug(message: string, fields?: LogFields): void {
    this.#write('debug', message, fields)
  }
  info(message: string, fields?: LogFields): void {
    this.#write('info', message, fields)
  }
  warn(message: string, fields?: LogFields): void {
    this.#write('warn', message, fields)
  }
  error(message: string, fields?: LogFields): void {
    this.#write('error', message, fields)
  }
  child(part: string): Logger {
    return new PartLogger(part, this.#level, this.#parts, this.#open)
  }

  #write(level: Exclude<LogLevel, 'silent'>, message: string, fields: LogFields = {}): void {
    if (LOG_LEVELS.indexOf(level) < this.#rank) return
    this.#open()[level]({ part: this.#part, ...fields }, message)
  }
}

function openPino(): Pino {
  const { pino } = createRequire(import.meta.url)('pino') as typeof import('pino')
  return pino(
    { level: 'trace', base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 2, sync: true }),
  )
}

function isLevel(word: string): word is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(word)
}
