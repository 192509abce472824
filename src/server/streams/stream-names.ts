/** Names: of streams as paths, and of the logs that they are. */
import { isLogName } from '../../base/log-name.ts'
import { RequestProblem } from '../http-error.ts'
import { STREAM_PATH_CHARS_MAX } from '../limits.ts'

/** Logs of the server's own; no stream is one of them. */
export const OWN_LOGS_PREFIX = 'stratalog.'

/** Reserved by the protocol for its control paths. */
const RESERVED = '__ds'

const SLUG_CHARS_MAX = 96

/** @throws RequestProblem `request_invalid`, `route_not_found` for a reserved one. */
export function checkedStreamPath(path: string): string {
  const parts = path.split('/')
  if (parts[0] === RESERVED)
    throw new RequestProblem('route_not_found', 'Subscriptions are not offered by this server.')
  const isSound =
    path.length <= STREAM_PATH_CHARS_MAX &&
    parts.every((part) => part !== '' && part !== '.' && part !== '..') &&
    !/[\u0000-\u001f\u007f\ufffd]/.test(path) &&
    path.isWellFormed()
  if (isSound) return path
  throw new RequestProblem(
    'request_invalid',
    `A stream's path has 1 to ${STREAM_PATH_CHARS_MAX} characters and no empty part, '.', '..' or control character.`,
  )
}

/** What every name of a stream's log begins with: what tokens for logs by prefix go by. */
export function logNameStart(path: string): string {
  if (isLogName(path) && !path.startsWith(OWN_LOGS_PREFIX)) return path
  const slug = path
    .normalize('NFC')
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .slice(0, SLUG_CHARS_MAX)
  const isOwn = slug.startsWith(OWN_LOGS_PREFIX)
  return /^[a-z0-9]/.test(slug) && !isOwn ? slug : `s${slug}`.slice(0, SLUG_CHARS_MAX)
}

/** A name for the log of a stream: the path where it is one and nothing has it, else one made of it. */
export function freeLogName(path: string, isTaken: (name: string) => boolean): string {
  const start = logNameStart(path)
  if (start === path && !isTaken(start)) return start
  const stem = `${start.slice(0, SLUG_CHARS_MAX)}-${digestOf(path)}`
  for (let attempt = 1; ; attempt++) {
    const name = attempt === 1 ? stem : `${stem}.${attempt}`
    if (!isTaken(name)) return name
  }
}

function digestOf(path: string): string {
  // Loaded with the first that needs it: no start waits for it.
  const { createHash } = process.getBuiltinModule('node:crypto')
  return createHash('sha256').update(path).digest('hex').slice(0, 12)
}
