/** The head of a request: where it goes to, and what it may say only once (RFC 9112, sections 3.2 and 11.2). */
import { RequestProblem } from './http-error.ts'

export interface Target {
  /** Of an absolute target, which counts in place of `Host`; else null. */
  readonly host: string | null
  readonly path: string
  /** What follows the question mark. */
  readonly search: string
}

const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/is

/** What a request asks for: as a rule a path, but a proxy's client names the whole URL. */
export function targetOf(url: string): Target {
  const [, host = null, rest = url] = url.startsWith('/') ? [] : (ABSOLUTE.exec(url) ?? [])
  const mark = rest.indexOf('?')
  const path = mark < 0 ? rest : rest.slice(0, mark)
  return { host, path: path === '' ? '/' : path, search: mark < 0 ? '' : rest.slice(mark + 1) }
}

/** Node keeps the first of each, while a proxy before it may have gone by the last. */
const SINGLE: readonly string[] = ['host', 'authorization', 'content-type']

/** @param rawHeaders names and values in turn. @throws RequestProblem `request_invalid`. */
export function assertSingle(rawHeaders: readonly string[]): void {
  let seen = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? ''
    // As good as all others are told apart by their length.
    if (name.length !== 4 && name.length !== 12 && name.length !== 13) continue
    const known = SINGLE.indexOf(name.toLowerCase())
    if (known === -1) continue
    if ((seen & (1 << known)) !== 0)
      throw new RequestProblem('request_invalid', `There is more than one ${SINGLE[known]} header.`)
    seen |= 1 << known
  }
}
