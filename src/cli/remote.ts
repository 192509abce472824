/** A running server as a command sees it: `--url`, with the token of `--token` or STRATALOG_TOKEN. */
import process from 'node:process'
import { type Command, Option } from 'commander'
import { ERROR_CODES, type ErrorCode, StratalogError } from '../base/errors.ts'
import type { FlagValues } from './config-flags.ts'
import type { Session } from './session.ts'

/** Adds `--url` and `--token`, for a command that can ask a server instead of files. */
export function addServerFlags(command: Command): Command {
  command.optionsGroup('A running server:')
  command.option('--url <url>', 'ask this server, not a directory or an archive')
  command.addOption(
    new Option('--token <token>', 'the token for it; or in STRATALOG_TOKEN, where nobody sees it'),
  )
  command.optionsGroup('Options:')
  return command
}

export interface RemoteRequest {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly body?: unknown
  readonly parameters?: Readonly<Record<string, string | number | boolean | undefined>>
}

export class Remote {
  readonly #url: string
  readonly #token: string | undefined
  readonly #signal: AbortSignal

  private constructor(url: string, token: string | undefined, signal: AbortSignal) {
    this.#url = url
    this.#token = token
    this.#signal = signal
  }

  /** Null where the flags name no server. @throws StratalogError `argument_invalid`. */
  static of(session: Session, flags: FlagValues): Remote | null {
    const { url, token, dataDir, archive, asOf } = flags
    if (typeof url !== 'string') return null
    if (dataDir !== undefined || archive !== undefined || asOf !== undefined) {
      throw new StratalogError(
        'argument_invalid',
        '--url goes without --data-dir, --archive and --as-of.',
      )
    }
    if (!/^https?:\/\/[^/?#]+\/?$/.test(url)) {
      throw new StratalogError('argument_invalid', `--url is http://host:port; got ${url}.`, {
        details: { url },
      })
    }
    const given = typeof token === 'string' ? token : process.env['STRATALOG_TOKEN']
    return new Remote(url.replace(/\/$/, ''), given, session.signal)
  }

  async json<T>(path: string, request: RemoteRequest = {}): Promise<T> {
    return (await (await this.ask(path, request)).json()) as T
  }

  /** An answer that is none of an error. @throws StratalogError what the server said, `server_unavailable`. */
  async ask(path: string, request: RemoteRequest = {}): Promise<Response> {
    const { method = 'GET', body, parameters = {} } = request
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(parameters))
      if (value !== undefined) query.set(name, String(value))
    const suffix = query.size === 0 ? '' : `?${query.toString()}`
    let response: Response
    try {
      response = await fetch(`${this.#url}${path}${suffix}`, {
        method,
        headers: this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` },
        signal: this.#signal,
        redirect: 'error',
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    } catch (error) {
      this.#signal.throwIfAborted()
      throw new StratalogError('server_unavailable', `${this.#url} does not answer.`, {
        cause: error,
        details: { url: this.#url },
      })
    }
    if (response.ok) return response
    throw await errorOf(response)
  }

  /** Every byte of an answer, as they come. @throws StratalogError `server_unavailable` where it breaks off. */
  async pipe(response: Response, write: (bytes: Uint8Array) => Promise<void>): Promise<void> {
    try {
      for await (const bytes of response.body ?? []) await write(bytes)
    } catch (error) {
      this.#signal.throwIfAborted()
      throw new StratalogError('server_unavailable', 'The answer of the server broke off.', {
        cause: error,
        details: { url: this.#url },
      })
    }
  }
}

async function errorOf(response: Response): Promise<StratalogError> {
  const problem: unknown = await response.json().catch(() => null)
  const { code, detail, details } = Object(problem) as Readonly<Record<string, unknown>>
  const message = typeof detail === 'string' ? detail : `The server answered ${response.status}.`
  const own: Readonly<Record<string, unknown>> =
    typeof details === 'object' && details !== null ? { ...details } : { problem: code ?? null }
  return new StratalogError(codeOf(code, response.status), message, {
    details: { ...own, status: response.status },
  })
}

/** Problems that only HTTP has are the caller's, or the server's trouble. */
function codeOf(code: unknown, status: number): ErrorCode {
  if (typeof code === 'string' && Object.hasOwn(ERROR_CODES, code)) return code as ErrorCode
  return status >= 500 ? 'server_unavailable' : 'argument_invalid'
}
