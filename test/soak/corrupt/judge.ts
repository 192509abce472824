/**
 * The oracle of the corruption sweep. It knows every record, and invariant I7: damage gives a named error or exactly
 * right records, never wrong ones, never silence where some are missing; and `verify` reports what matters.
 */
import { ERROR_CODES } from '../../../src/base/errors.ts'
import { type Base, recordAt, recordText } from './fixture.ts'
import type { Failure, Look, Observation, Part, ReportedRange } from './observe.ts'
import { type Records, hitLog, leastRecords } from './wal-tail.ts'

export type Wrong = 'lost' | 'invented' | 'wrong' | 'crashed' | 'undetected'

export interface Verdict {
  readonly problems: readonly { readonly wrong: Wrong; readonly reason: string }[]
  /** Whether something could not be read, or not from where it should. */
  readonly isVisible: boolean
  /** Whether the payload of one log's frame in the WAL was hit, so that all other logs had to go on. */
  readonly isConfined: boolean
}

/** What a process may take in all: an engine, its caches and a decoder's buffers, many times over. */
const RSS_BYTES_MAX = 1024 * 1024 * 1024

/** Kinds that no damage makes: they would mean that the engine did not know what it met. */
const NO_NAME: readonly string[] = [
  'internal',
  'argument_invalid',
  'config_invalid',
  'query_failed',
]

/** Files in which every byte counts, so that `verify` reports any change. */
const WHOLE_KINDS: readonly string[] = [
  'identity',
  'manifest-edit',
  'manifest-base',
  'manifest-page',
  'segment',
  'pack',
  'archive-identity',
  'archive-edit',
  'archive-base',
  'archive-page',
  'object',
  'archive-pack',
]

export function judge(observation: Observation, base: Base): Verdict {
  const { damage, looks, verify, touched, rssBytesMax } = observation
  const problems: { wrong: Wrong; reason: string }[] = []
  const add = (wrong: Wrong, reason: string): void => {
    problems.push({ wrong, reason })
  }
  // A crash cuts off what nothing proves durable; damage of that very end looks the same.
  const least = leastRecords(damage, base.records, base.tail)
  const isTorn = least !== base.records
  const hasLostEnd = isManifestEndLost(observation)
  let isVisible = false
  for (const look of looks) {
    const ofArchive = ['archive', 'replay', 'restore'].includes(look.name)
    const expected = ofArchive
      ? { all: base.archived, least: look.name === 'archive' && hasLostEnd ? {} : base.archived }
      : { all: base.records, least }
    if (judgeLook(look, expected, add)) isVisible = true
  }
  if (verify.failure !== null) judgeFailure('verify', verify.failure, add)
  const isReported = verify.failure !== null || verify.kinds.length > 0
  const hasFailed = looks.some(({ failure }) => failure !== null)
  const hit = damage.kind === 'wal' ? hitLog(damage, base.wal) : null
  if (hit !== null)
    for (const look of looks) {
      judgeOthers(look, hit, base.records, add)
      judgeAppends(look, hit, add)
    }
  const mustReport = (isVisible && (!isTorn || hasFailed)) || isWholeFileChanged(observation)
  if (mustReport && !isReported)
    add('undetected', `verify found nothing${isVisible ? ', and reading did' : ''}`)
  if (touched.length > 0) add('wrong', `looking changed the files to ${touched.join(' ')}`)
  if (rssBytesMax > RSS_BYTES_MAX) add('crashed', `the process took ${rssBytesMax} bytes`)
  return { problems, isVisible, isConfined: hit !== null }
}

/**
 * An archive whose newest commits are gone is the archive of a moment ago to whoever reads what it names. Everything
 * that lists the bucket says so: restore, replay, drill and `verify`, which must have.
 */
function isManifestEndLost({ damage, verify }: Observation): boolean {
  const isEnd = ['lost-tail', 'missing', 'stale-folder'].includes(damage.operation)
  return damage.kind === 'archive-edit' && isEnd && verify.kinds.includes('stale')
}

/** Removed ends of a chain are seen by what they took along, or took nothing. */
function isWholeFileChanged({ damage }: Observation): boolean {
  if (!WHOLE_KINDS.includes(damage.kind)) return false
  return !['lost-tail', 'stale-folder', 'missing', 'lost-folder'].includes(damage.operation)
}

interface Expected {
  readonly all: Records
  /** What must come unless something is said; a partition that is not named may be empty. */
  readonly least: Records
}

/** Whether something is seen to be missing. */
function judgeLook(
  look: Look,
  { all, least }: Expected,
  add: (wrong: Wrong, reason: string) => void,
): boolean {
  if (look.failure !== null) {
    judgeFailure(look.name, look.failure, add)
    return true
  }
  let isVisible = look.reported.length > 0
  for (const [key, count] of Object.entries(all)) {
    const part = look.parts[key]
    const told = look.reported.filter((range) => range.key === key)
    const counts = { count, least: least[key] ?? 0, told }
    if (part === undefined) {
      add('lost', `${look.name}: nothing was read of ${key}`)
      continue
    }
    if (judgePart(`${look.name} ${key}`, key, part, counts, add)) isVisible = true
    const sql = look.parts[`${key} by SQL`]
    if (sql !== undefined && judgePart(`${look.name} ${key} by SQL`, key, sql, counts, add))
      isVisible = true
  }
  return isVisible
}

/** Damage of one log's payload takes nothing from the others. */
function judgeOthers(
  { name, failure, parts, appends }: Look,
  hit: string,
  records: Records,
  add: (wrong: Wrong, reason: string) => void,
): void {
  if (failure !== null)
    add('lost', `${name}: a payload of '${hit}' was hit, and nothing opens: ${failure.message}`)
  for (const [key, count] of Object.entries(records)) {
    const log = key.slice(0, key.lastIndexOf('/'))
    if (log === hit || failure !== null) continue
    const refused = appends?.[log] ?? null
    if (refused !== null)
      add('lost', `${name}: a payload of '${hit}' was hit, and '${log}' takes no append`)
    if (parts[key]?.failure !== null || parts[key].records.length !== count)
      add('lost', `${name}: a payload of '${hit}' was hit, and ${key} is not whole`)
  }
}

/** Nothing is acknowledged under a log that has lost records of its WAL. */
function judgeAppends(
  { name, parts, appends }: Look,
  hit: string,
  add: (wrong: Wrong, reason: string) => void,
): void {
  for (const [key, { failure }] of Object.entries(parts))
    if (key.startsWith(`${hit}/`) && failure !== null && appends?.[hit] === null)
      add('wrong', `${name}: ${key} has lost records, and an append to '${hit}' was acknowledged`)
}

interface Counts {
  readonly count: number
  readonly least: number
  readonly told: readonly ReportedRange[]
}

/** Whether less came than there is. */
function judgePart(
  what: string,
  key: string,
  part: Part,
  { count, least, told }: Counts,
  add: (wrong: Wrong, reason: string) => void,
): boolean {
  let last = -1
  for (const [offset, text] of part.records) {
    if (offset <= last) add('wrong', `${what}: offset ${offset} came after ${last}`)
    last = offset
    const right = recordText(recordAt(key, offset))
    if (offset >= count) add('invented', `${what}: offset ${offset} was never appended`)
    else if (text !== right) add('wrong', `${what}: offset ${offset} is ${text}, not ${right}`)
  }
  if (part.failure !== null) {
    judgeFailure(what, part.failure, add)
    return true
  }
  const seen = new Set(part.records.map(([offset]) => offset))
  for (let offset = 0; offset < count; offset++) {
    if (seen.has(offset) || told.some(({ from, to }) => from <= offset && offset < to)) continue
    if (offset >= least && offset > last) return true
    add('lost', `${what}: offset ${offset} of ${count} did not come, and nothing was said`)
    return true
  }
  return seen.size < count
}

function judgeFailure(
  what: string,
  { code, message }: Failure,
  add: (wrong: Wrong, reason: string) => void,
): void {
  if (code !== null && code in ERROR_CODES && !NO_NAME.includes(code) && message !== '') return
  add('crashed', `${what}: ${code ?? 'no error of ours'}: ${message}`)
}
