/**
 * The two files of a manifest: a commit (`.edit`) and a base (`.base`, the whole state after a commit, so that opening
 * need not read every commit). Both are lines of JSON, each ended by '\n':
 *
 *     line 1   {"stratalog":"manifest-commit","formatVersion":1,"bytes":B,"sha256":"…"}
 *     line 2   the head
 *     line 3…  one edit per line (manifest-edit-json.ts)
 *
 * `bytes` and `sha256` are of everything after line 1, and line 1 must be exactly what the rest makes it, so no byte of
 * the file can change unnoticed. Nothing is parsed before that check.
 *
 * Head of a commit: `{"number","previousHash","epoch","writerId","time","edits"}`. `previousHash` is the SHA-256 of the
 * whole file of the commit before (64 zeros for the first): the commits are a chain, and a commit from another history
 * does not fit. `epoch` and `writerId` are those of the state after the commit.
 *
 * Head of a base: `{"number","commitHash","previousBase","time","engineId","epoch","writer","nextLogId",
 * "deletedLogIds","walLsn","walReached","pages","edits"}`, where `walReached` is there once it is known, `commitHash`
 * is the SHA-256 of commit `number`'s file, and `previousBase` the number of the base before, 0 without one. A line for
 * each page that has segments of it follows (manifest-page.ts), `{"sha256","bytes","chunks","entries"}`, then the edits
 * that make the logs and snapshots from nothing, without their segments.
 */
import { StratalogError, toStratalogError } from '../base/errors.ts'
import { sha256Hex } from './checksum.ts'
import { IdRanges, areBounds } from './id-ranges.ts'
import { isEngineId } from './identity.ts'
import { type Fail, JsonFields, parseJson } from './json-fields.ts'
import { MANIFEST_BYTES_MAX } from './limits.ts'
import { ManifestBuilder, emptyManifestState } from './manifest-builder.ts'
import { decodeEdit, encodeEdit, writerJson, writerOf } from './manifest-edit-json.ts'
import { withSegments } from './manifest-page-list.ts'
import type { StoredRun } from './manifest-page.ts'
import { unnamedEdits } from './manifest-unnamed.ts'
import type { ManifestEdit, ManifestState, Writer } from './manifest.ts'
import type { PageName } from './segment-chunk.ts'

export const MANIFEST_FORMAT_VERSION: number = 1

/** What the first commit names as the hash of the one before it. */
export const GENESIS_HASH: string = '0'.repeat(64)

export interface ManifestCommit {
  readonly number: number
  readonly previousHash: string
  readonly epoch: number
  readonly writerId: string
  /** Engine clock, ms. */
  readonly time: number
  readonly edits: readonly ManifestEdit[]
}

export interface ManifestBase {
  readonly number: number
  /** SHA-256 of the file of commit `number`. */
  readonly commitHash: string
  /** The number of the base before it; 0: none. */
  readonly previousBase: number
  readonly time: number
  readonly state: ManifestState
  /** They have every segment of the state. */
  readonly pages: readonly PageName[]
}

/** A base without its pages. */
export interface ManifestRoot extends Omit<ManifestBase, 'state'> {
  /** The state without any segment. */
  readonly bare: ManifestState
  /**
   * The state with the segments in `runs`, which are those of every page in order.
   * @throws StratalogError `manifest_corrupt`.
   */
  readonly complete: (runs: readonly (readonly StoredRun[])[]) => ManifestState
}

type FileKind = 'manifest-commit' | 'manifest-base'

export function encodeCommit(commit: ManifestCommit): Uint8Array {
  const { number, previousHash, epoch, writerId, time, edits } = commit
  return encodeFile(
    'manifest-commit',
    { number, previousHash, epoch, writerId, time, edits: edits.length },
    edits.map(encodeEdit),
  )
}

/**
 * @param file the name, for messages.
 * @throws StratalogError `manifest_corrupt`, `format_unsupported`.
 */
export function decodeCommit(bytes: Uint8Array, file: string): ManifestCommit {
  const { head, edits, fail } = decodeFile('manifest-commit', bytes, file)
  const commit = {
    number: head.integer('number', 1),
    previousHash: head.text('previousHash'),
    epoch: head.integer('epoch'),
    writerId: head.text('writerId'),
    time: head.integer('time', Number.MIN_SAFE_INTEGER),
  }
  checkEnd(head, edits.length, fail)
  return {
    ...commit,
    edits: edits.map((line, index) => decodeEdit(line, `line ${index + 3}`, fail)),
  }
}

export function encodeBase(base: ManifestBase): Uint8Array {
  const { number, commitHash, previousBase, time, state, pages } = base
  const { engineId, epoch, writer, nextLogId, walLsn, walReached } = state
  const deletedLogIds = state.deletedLogIds.bounds
  const edits = [...editsOf(state)]
  const writerOrNull = writer === null ? null : writerJson(writer)
  const head = {
    number,
    commitHash,
    previousBase,
    time,
    engineId,
    epoch,
    writer: writerOrNull,
    nextLogId,
    deletedLogIds,
    walLsn,
    ...(walReached === null ? {} : { walReached }),
    pages: pages.length,
    edits: edits.length,
  }
  return encodeFile('manifest-base', head, [...pages.map(pageLine), ...edits.map(encodeEdit)])
}

/** @throws StratalogError `manifest_corrupt`, `format_unsupported`. */
export function decodeBase(bytes: Uint8Array, file: string): ManifestRoot {
  const { head, edits: lines, fail } = decodeFile('manifest-base', bytes, file)
  const number = head.integer('number', 1)
  const commitHash = head.text('commitHash')
  const previousBase = head.integer('previousBase')
  if (previousBase >= number) fail('previousBase is not before it')
  const time = head.integer('time', Number.MIN_SAFE_INTEGER)
  const engineId = head.text('engineId')
  if (engineId !== '' && !isEngineId(engineId)) fail('engineId is not an engine id')
  const epoch = head.integer('epoch')
  const writerFields = head.objectOrNull('writer')
  const writer: Writer | null = writerFields === null ? null : writerOf(writerFields)
  const nextLogId = head.integer('nextLogId', 1)
  const bounds = head.integers('deletedLogIds', 1)
  if (!areBounds(bounds)) fail('deletedLogIds are no ranges')
  const deletedLogIds = new IdRanges(bounds)
  const walLsn = head.integer('walLsn')
  const walReached = head.has('walReached') ? head.integer('walReached') : null
  const pageCount = head.integer('pages')
  const pages = lines.slice(0, pageCount).map((line, index) => pageOf(line, index, fail))
  const edits = lines.slice(pageCount)
  checkEnd(head, edits.length, fail)
  const builder = new ManifestBuilder(emptyManifestState())
  for (const [index, line] of edits.entries()) {
    const edit = decodeEdit(line, `line ${index + 3 + pageCount}`, fail)
    try {
      builder.apply(edit)
    } catch (error) {
      return fail(`line ${index + 3 + pageCount}: ${toStratalogError(error).message}`, error)
    }
  }
  const built = builder.build()
  if (nextLogId < built.nextLogId) fail('nextLogId was given to a log already')
  if ([...built.logs.keys()].some((id) => deletedLogIds.has(id))) fail('a log is there and deleted')
  const bare = { ...built, engineId, epoch, writer, nextLogId, deletedLogIds, walLsn, walReached }
  const complete = (runs: readonly (readonly StoredRun[])[]): ManifestState =>
    withSegments(bare, pages, runs, fail)
  return { number, commitHash, previousBase, time, pages, bare, complete }
}

function pageLine({ sha256, bytes, chunks, entries }: PageName): string {
  return JSON.stringify({ sha256, bytes, chunks, entries })
}

function pageOf(line: unknown, index: number, fail: Fail): PageName {
  const fields = new JsonFields(line, `line ${index + 3}`, fail)
  const page = {
    sha256: fields.text('sha256'),
    bytes: fields.integer('bytes', 1),
    chunks: fields.integer('chunks', 1),
    entries: fields.integer('entries', 1),
  }
  if (!/^[0-9a-f]{64}$/.test(page.sha256)) fields.fail('sha256', 'is not a SHA-256 in hex')
  fields.end()
  return page
}

/** SHA-256 in hex of a file's bytes: what the next commit names. */
export function manifestFileHash(bytes: Uint8Array): string {
  return sha256Hex(bytes)
}

/** The edits that make the logs and snapshots of `state` from nothing, without their segments. */
function* editsOf(state: ManifestState): Generator<ManifestEdit> {
  if (state.archive !== undefined) yield { kind: 'archive-noted', archive: state.archive }
  const logs = [...state.logs.values()].sort((a, b) => a.definition.id - b.definition.id)
  for (const { definition, schemas, partitions, deletedAt } of logs) {
    const logId = definition.id
    yield {
      kind: 'log-created',
      log: definition,
      startOffsets: partitions.map((partition) => partition.startOffset),
    }
    for (const schema of schemas) yield { kind: 'schema-added', logId, schema }
    for (const [partition, { retired = [], producers, denseFrom }] of partitions.entries()) {
      if (denseFrom !== undefined)
        yield { kind: 'offsets-dense-from', logId, partition, offset: denseFrom }
      for (const entry of retired) yield { kind: 'segment-retired', logId, partition, ...entry }
      if (producers === undefined || producers.size === 0) continue
      const byId = [...producers.values()].sort((a, b) => (a.producerId < b.producerId ? -1 : 1))
      yield { kind: 'producers-noted', logId, partition, producers: byId, forgotten: [] }
    }
    if (deletedAt !== undefined) yield { kind: 'log-deleted', logId, deletedAt }
  }
  for (const [logId, name] of byNumber(state.detachedLogs))
    yield { kind: 'log-detached', logId, name }
  for (const [logId, since] of byNumber(state.paused))
    yield { kind: 'tiering-paused', logId, since }
  for (const snapshot of state.snapshots.values()) yield { kind: 'snapshot-created', snapshot }
  yield* unnamedEdits(state)
}

function byNumber<Value>(map: ReadonlyMap<number, Value>): readonly (readonly [number, Value])[] {
  return [...map].sort(([a], [b]) => a - b)
}

function encodeFile(kind: FileKind, head: unknown, given: readonly string[]): Uint8Array {
  const parts = [Buffer.from(`${JSON.stringify(head)}\n`)]
  let lines = ''
  for (const line of given) {
    lines += `${line}\n`
    if (lines.length < LINES_PER_PART_CHARACTERS) continue
    parts.push(Buffer.from(lines))
    lines = ''
  }
  parts.push(Buffer.from(lines))
  const body = Buffer.concat(parts)
  const bytes = Buffer.concat([envelope(kind, body), body])
  if (bytes.length > MANIFEST_BYTES_MAX) {
    throw new StratalogError(
      'append_too_large',
      `A ${kind} of ${bytes.length} bytes is above ${MANIFEST_BYTES_MAX}.`,
    )
  }
  return bytes
}

/** Text is brought to bytes in parts of about this size, far below what one string may hold. */
const LINES_PER_PART_CHARACTERS = 4 * 1024 * 1024

function envelope(kind: FileKind, body: Uint8Array): Buffer {
  const line = {
    stratalog: kind,
    formatVersion: MANIFEST_FORMAT_VERSION,
    bytes: body.length,
    sha256: manifestFileHash(body),
  }
  return Buffer.from(`${JSON.stringify(line)}\n`)
}

const NEWLINE = 0x0a
const ENVELOPE_BYTES_MAX = 256

function decodeFile(
  kind: FileKind,
  bytes: Uint8Array,
  file: string,
): { readonly head: JsonFields; readonly edits: readonly unknown[]; readonly fail: Fail } {
  const fail = (reason: string, cause?: unknown): never => {
    throw new StratalogError('manifest_corrupt', `${file} is damaged: ${reason}.`, {
      cause,
      // Nothing says where in a file its checksum stopped to hold.
      details: { file, reason, position: 0 },
    })
  }
  if (bytes.length > MANIFEST_BYTES_MAX)
    fail(`its ${bytes.length} bytes are above ${MANIFEST_BYTES_MAX}`)
  const bodyStart = bytes.subarray(0, ENVELOPE_BYTES_MAX).indexOf(NEWLINE) + 1
  if (bodyStart === 0) fail('the first line has no end')
  const body = bytes.subarray(bodyStart)
  if (!envelope(kind, body).equals(bytes.subarray(0, bodyStart))) {
    checkVersion(kind, bytes.subarray(0, bodyStart), file)
    fail('length or checksum is wrong')
  }
  const lines = [...linesOf(body, fail)]
  return { head: new JsonFields(lines[0], 'line 2', fail), edits: lines.slice(1), fail }
}

/** Tells a file of another version, whose first line is sound, from a damaged one. */
function checkVersion(kind: FileKind, line: Uint8Array, file: string): void {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(line).toString('latin1'))
  } catch {
    return
  }
  if (typeof value !== 'object' || value === null) return
  const { stratalog, formatVersion } = value as Record<string, unknown>
  if (
    stratalog !== kind ||
    !Number.isSafeInteger(formatVersion) ||
    formatVersion === MANIFEST_FORMAT_VERSION
  )
    return
  throw new StratalogError(
    'format_unsupported',
    `${file} has manifest format ${String(formatVersion)}; this program knows ${MANIFEST_FORMAT_VERSION}.`,
    { details: { file, given: formatVersion, known: [MANIFEST_FORMAT_VERSION] } },
  )
}

function* linesOf(body: Uint8Array, fail: Fail): Generator {
  for (let start = 0; start < body.length;) {
    const end = body.indexOf(NEWLINE, start)
    if (end === -1) fail('the last line has no end')
    yield parseJson(body.subarray(start, end), fail)
    start = end + 1
  }
}

function checkEnd(head: JsonFields, editCount: number, fail: Fail): void {
  if (head.integer('edits') !== editCount)
    fail(`there are ${editCount} edits, not as many as the head says`)
  head.end()
}
