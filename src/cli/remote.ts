/** A running server as a command sees it: `--url`, with the token of `--token` or STRATALOG_TOKEN. */
import type { IncomingMessage } from 'node:http'
import { type Command, Option } from 'commander'
import { StratalogError } from '../base/errors.ts'
import { errorOfProblem } from '../base/server-problem.ts'
import { type FlagValues, assertNoEngineFlags } from './config-flags.ts'
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
  readonly method?: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** Sent as JSON. */
  readonly body?: object
  /** Sent as it is, in place of `body`. */
  readonly records?: { readonly contentType: string; readonly bytes: string | Uint8Array }
  readonly headers?: Readonly<Record<string, string>>
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

  /**
   * Null where the flags name no server. `own` are flags that say how an engine is opened elsewhere, and something of
   * their own to this command. @throws StratalogError `argument_invalid`.
   */
  static of(session: Session, flags: FlagValues, own: readonly string[] = []): Remote | null {
    const { url, token } = flags
    if (typeof url !== 'string') return null
    if (!/^https?:\/\/[^/?#]+\/?$/.test(url)) {
      throw new StratalogError(
        'argument_invalid',
        `A server is named as http://host:port; got ${url}.`,
        {
          details: { url },
        },
      )
    }
    assertNoEngineFlags(
      Object.fromEntries(Object.entries(flags).filter(([name]) => !own.includes(name))),
    )
    const given = typeof token === 'string' ? token : process.env['STRATALOG_TOKEN']
    return new Remote(url.replace(/\/$/, ''), given, session.signal)
  }

  /** As this one, but for what goes on when the command is asked to end. */
  uninterrupted(): Remote {
    return new Remote(this.#url, this.#token, new AbortController().signal)
  }

  async json<T>(path: string, request: RemoteRequest = {}): Promise<T> {
    const answer = await this.ask(path, request)
    const parts: Uint8Array[] = []
    for await (const bytes of this.bytes(answer)) parts.push(bytes)
    return JSON.parse(Buffer.concat(parts).toString()) as T
  }

  /** An answer that is none of an error. @throws StratalogError what the server said, `server_unavailable`. */
  async ask(path: string, request: RemoteRequest = {}): Promise<IncomingMessage> {
    const { method = 'GET', body, records, headers = {}, parameters = {} } = request
    const url = new URL(`${this.#url}${path}`)
    for (const [name, value] of Object.entries(parameters))
      if (value !== undefined) url.searchParams.set(name, String(value))
    const sent = body === undefined ? records?.bytes : JSON.stringify(body)
    const contentType = records?.contentType ?? 'application/json'
    // Not for the parser: few commands ask a server, and every one would wait for this.
    const { sendRequest } = await import('./http-request.ts')
    let answer: IncomingMessage
    try {
      answer = await sendRequest(url, {
        method,
        headers: {
          ...headers,
          ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
          ...(sent === undefined ? {} : { 'content-type': contentType }),
        },
        ...(sent === undefined ? {} : { body: sent }),
        signal: this.#signal,
      })
    } catch (error) {
      this.#signal.throwIfAborted()
      throw new StratalogError('server_unavailable', `${this.#url} does not answer.`, {
        cause: error,
        details: { url: this.#url },
      })
    }
    const { statusCode = 0 } = answer
    if (statusCode >= 200 && statusCode < 300) return answer
    throw await this.#errorOf(answer, statusCode)
  }

  /** Every byte of an answer, as they come. @throws StratalogError `server_unavailable` where it breaks off. */
  async *bytes(answer: IncomingMessage): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for await (const bytes of answer) yield bytes as Uint8Array
    } catch (error) {
      this.#signal.throwIfAborted()
      throw new StratalogError('server_unavailable', 'The answer of the server broke off.', {
        cause: error,
        details: { url: this.#url },
      })
    }
  }

  async #errorOf(answer: IncomingMessage, status: number): Promise<StratalogError> {
    const parts: Uint8Array[] = []
    for await (const bytes of this.bytes(answer)) parts.push(bytes)
    return errorOfProblem(Buffer.concat(parts).toString(), status)
  }
}
