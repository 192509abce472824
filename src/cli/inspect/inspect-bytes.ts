/** From the bytes of a file of ours to what it says of itself. Damage is reported beside what is still readable. */
import { isStratalogError, StratalogError, toStratalogError } from '../../base/errors.ts'
import { sha256Hex } from '../../format/checksum.ts'
import { decodeIdentity } from '../../format/identity.ts'
import { JsonFields, parseJson } from '../../format/json-fields.ts'
import { decodeBase, decodeCommit, manifestFileHash } from '../../format/manifest-codec.ts'
import { decodePage } from '../../format/manifest-page.ts'
import { encodeEdit } from '../../format/manifest-edit-json.ts'
import { decodePackIndex } from '../../format/pack.ts'
import { isPackPath, packPath, parsePath } from '../../format/paths.ts'
import { decodeDictionaries, decodeRows, parseSegmentTail } from '../../format/segment-reader.ts'
import { recordsIn } from '../../format/segment-entry.ts'
import { type BatchFacts, type SegmentFacts, blockEnd } from '../../format/segment.ts'
import { TOKENS_BEGINNING, decodeTokens } from '../../server/tokens.ts'
import { inspectWal } from './inspect-wal.ts'
import type { CommonFacts, Inspection, Problem } from './inspection.ts'

/** @throws StratalogError `input_invalid` for no file of ours, kind `corrupt` when all is lost. */
export function inspectBytes(file: string, bytes: Uint8Array): Inspection {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 64)).toString(
    'latin1',
  )
  const common = { file, length: bytes.length, sha256: sha256Hex(bytes) }
  const kind = kindByName(file) ?? kindByContent(head)
  if (kind !== null) return INSPECTORS[kind](bytes, common)
  throw new StratalogError(
    'input_invalid',
    `${file} is no file of Stratalog: neither segment, pack, WAL, manifest, identity, lock nor tokens.`,
    {
      details: { file },
    },
  )
}

type FileKind =
  | 'wal'
  | 'segment'
  | 'pack'
  | 'commit'
  | 'base'
  | 'page'
  | 'identity'
  | 'restoring'
  | 'lock'
  | 'newest'
  | 'tokens'

const INSPECTORS: Readonly<
  Record<FileKind, (bytes: Uint8Array, common: CommonFacts) => Inspection>
> = {
  wal: inspectWal,
  segment: inspectSegment,
  pack: inspectPack,
  commit: inspectCommit,
  base: inspectBase,
  page: inspectPage,
  identity: inspectIdentity,
  restoring: inspectRestoring,
  lock: inspectLock,
  newest: inspectNewest,
  tokens: inspectTokens,
}

/** The kind that the end of a path says, so that a file whose first bytes are damaged is still told as what it is. */
function kindByName(file: string): FileKind | null {
  const parts = file.replaceAll('\\', '/').split('/')
  for (let from = 0; from < parts.length; from++) {
    const parsed = parsePath(parts.slice(from).join('/'))
    switch (parsed?.kind) {
      case 'manifest':
        return parsed.file.kind
      case 'wal':
      case 'segment':
      case 'pack':
      case 'identity':
      case 'restoring':
      case 'lock':
      case 'newest':
        return parsed.kind
      default:
    }
  }
  return null
}

const BEGINNINGS: readonly (readonly [string, FileKind])[] = [
  ['STRATWAL', 'wal'],
  ['ARROW1', 'segment'],
  ['PAR1', 'segment'],
  ['STLGPAGE', 'page'],
  ['STLGPACK', 'pack'],
  ['{"stratalog":"manifest-commit"', 'commit'],
  ['{"stratalog":"manifest-base"', 'base'],
  ['{"stratalog":"restoring"', 'restoring'],
  ['{"stratalog":"', 'identity'],
  ['{"pid":', 'lock'],
  [TOKENS_BEGINNING, 'tokens'],
]

function kindByContent(head: string): FileKind | null {
  return BEGINNINGS.find(([beginning]) => head.startsWith(beginning))?.[1] ?? null
}

function inspectIdentity(bytes: Uint8Array, common: CommonFacts): Inspection {
  const { kind, engineId } = decodeIdentity(bytes, common.file)
  return { report: { kind: 'identity', ...common, of: kind, engineId }, problems: [] }
}

/** What a restore that is not finished notes of itself. */
function inspectRestoring(bytes: Uint8Array, common: CommonFacts): Inspection {
  const fail = failing(common.file)
  const value = parseJson(bytes, fail)
  const fields = new JsonFields(value, '', fail)
  fields.oneOf('stratalog', ['restoring'])
  fields.object('selection')
  const report = {
    kind: 'restoring',
    ...common,
    formatVersion: fields.integer('formatVersion'),
    engineId: fields.text('engineId'),
    archive: fields.text('archive'),
    selection: Object(value)['selection'],
    commit: fields.integer('commit'),
    plan: fields.text('plan'),
  }
  fields.end()
  return { report, problems: [] }
}

/** Who wrote the directory last, or writes it: the file is emptied when a writer closes. */
function inspectLock(bytes: Uint8Array, common: CommonFacts): Inspection {
  if (bytes.length === 0) return { report: { kind: 'lock', ...common, holder: null }, problems: [] }
  const fail = failing(common.file)
  const fields = new JsonFields(parseJson(bytes, fail), '', fail)
  const holder = {
    pid: fields.integer('pid'),
    host: fields.text('host'),
    since: fields.text('since'),
  }
  fields.end()
  return { report: { kind: 'lock', ...common, holder }, problems: [] }
}

/** Its name says all of it: the manifest has come to that commit. */
function inspectNewest(bytes: Uint8Array, common: CommonFacts): Inspection {
  const parsed = parsePath(common.file.replaceAll('\\', '/').split('/').at(-1) ?? '')
  const commit = parsed?.kind === 'newest' ? parsed.number : null
  if (bytes.length > 0) failing(common.file)('it is an empty file, and this one is not')
  return { report: { kind: 'newest', ...common, commit }, problems: [] }
}

/** Whoever reads the file cannot make a token of it; what is shown is not even the digest. */
function inspectTokens(bytes: Uint8Array, common: CommonFacts): Inspection {
  try {
    const tokens = decodeTokens(Buffer.from(bytes).toString('utf8'))
    const shown = tokens.map(({ digest: _digest, ...token }) => token)
    return { report: { kind: 'tokens', ...common, tokens: shown }, problems: [] }
  } catch (error) {
    return failing(common.file)(toStratalogError(error).message, error)
  }
}

function failing(file: string): (reason: string, cause?: unknown) => never {
  return (reason, cause) => {
    throw new StratalogError('file_corrupt', `${file} is damaged: ${reason}.`, {
      cause,
      details: { file, reason },
    })
  }
}

function inspectSegment(bytes: Uint8Array, common: CommonFacts): Inspection {
  const tail = parseSegmentTail(bytes, bytes.length)
  if (tail.kind !== 'facts')
    throw new StratalogError(
      'segment_corrupt',
      `${common.file} is damaged: its footer is not whole.`,
    )
  const { facts } = tail
  const problems = segmentProblems(bytes, facts)
  const isDamaged = ({ baseOffset }: BatchFacts): boolean =>
    problems.some(({ from = 0, to = 0 }) => from <= baseOffset && baseOffset < to)
  const unreadable = facts.batches.filter(isDamaged).reduce((sum, { length }) => sum + length, 0)
  const report = {
    kind: 'segment',
    ...common,
    ...withIsoTimes(facts),
    batches: facts.batches.map(withIsoTimes),
    records: recordsIn(facts),
    compression: Math.round((facts.rawBytes / bytes.length) * 100) / 100,
    verified: problems.length === 0,
    readableRecords: recordsIn(facts) - unreadable,
    problems,
  }
  return { report, problems }
}

/** What a pack holds. Each segment is checked by its SHA-256; inspected by itself it says more. */
function inspectPack(bytes: Uint8Array, common: CommonFacts): Inspection {
  const entries = decodePackIndex(bytes, common.file)
  const problems: Problem[] = []
  const segments = entries.map((entry) => {
    const { position, length, baseOffset: from, sha256 } = entry
    const part = bytes.subarray(position, position + length)
    const isWhole = part.length === length && sha256Hex(part) === sha256
    const tail = isWhole ? parseSegmentTail(part, length) : null
    const to = tail?.kind === 'facts' ? tail.facts.endOffset : null
    const log = tail?.kind === 'facts' ? tail.facts.logName : null
    if (to === null) {
      const reason = `the segment of log ${entry.logId}, partition ${entry.partition}, offset ${from} is damaged`
      problems.push({ position, reason, from, to: from + 1 })
    }
    return { ...entry, log, endOffset: to }
  })
  if (problems.length === 0 && !isNamedRight(common))
    problems.push({ position: 0, reason: 'its SHA-256 is not that of its name' })
  const verified = problems.length === 0
  return { report: { kind: 'pack', ...common, segments, verified, problems }, problems }
}

/** A pack under another name than that of a pack has none to go by. */
function isNamedRight({ file, sha256 }: CommonFacts): boolean {
  const path = file.replaceAll('\\', '/').split('/').slice(-2).join('/')
  return !isPackPath(path) || path === packPath(sha256)
}

const TIME_KEYS = ['timeMin', 'timeMax', 'appendTimeMin', 'appendTimeMax'] as const

/** Facts with their times as ISO 8601; a range of no times stays as it is. */
function withIsoTimes(facts: Readonly<Record<(typeof TIME_KEYS)[number], number>>): object {
  const times = TIME_KEYS.map((key) => [key, isoTime(facts[key])])
  return { ...facts, ...Object.fromEntries(times) }
}

function isoTime(ms: number): string | number {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : ms
}

/** Every block is decoded: its checksum, its lengths and its structure hold, or it is a problem. */
function segmentProblems(bytes: Uint8Array, facts: SegmentFacts): readonly Problem[] {
  let dictionaries: ReturnType<typeof decodeDictionaries>
  try {
    dictionaries = decodeDictionaries(facts, bytes.subarray(0, facts.preambleLength))
  } catch (error) {
    const { baseOffset: from, endOffset: to } = facts
    return [{ position: 0, reason: corruptReason(error), from, to }]
  }
  return facts.batches.flatMap((block, index) => {
    try {
      decodeRows(facts, index, ({ start, end }) => bytes.subarray(start, end), dictionaries)
      return []
    } catch (error) {
      const { position, baseOffset: from } = block
      return [{ position, reason: corruptReason(error), from, to: blockEnd(block) }]
    }
  })
}

function corruptReason(error: unknown): string {
  if (isStratalogError(error) && error.kind === 'corrupt') return error.message
  throw toStratalogError(error)
}

function inspectCommit(bytes: Uint8Array, common: CommonFacts): Inspection {
  const { number, previousHash, epoch, writerId, time, edits } = decodeCommit(bytes, common.file)
  const report = {
    kind: 'manifest-commit',
    ...common,
    number,
    previousHash,
    hash: manifestFileHash(bytes),
    epoch,
    writerId,
    time: new Date(time).toISOString(),
    edits: edits.map((edit) => JSON.parse(encodeEdit(edit)) as unknown),
  }
  return { report, problems: [] }
}

/** The root alone: which segments there are, its pages say. */
function inspectBase(bytes: Uint8Array, common: CommonFacts): Inspection {
  const { complete: _complete, time, ...root } = decodeBase(bytes, common.file)
  const { engineId, epoch, writer, nextLogId, walLsn, walReached, logs, snapshots } = root.bare
  const report = {
    kind: 'manifest-base',
    ...common,
    number: root.number,
    commitHash: root.commitHash,
    previousBase: root.previousBase,
    time: new Date(time).toISOString(),
    engineId,
    epoch,
    writer,
    nextLogId,
    walLsn,
    walReached,
    logs: [...logs.values()].map(({ definition, schemas, partitions }) => ({
      id: definition.id,
      name: definition.name,
      policy: definition.policy,
      schemas,
      partitions: partitions.map(({ startOffset }, partition) => ({ partition, startOffset })),
    })),
    snapshots: [...snapshots.values()],
    pages: root.pages,
    segments: root.pages.reduce((sum, { entries }) => sum + entries, 0),
  }
  return { report, problems: [] }
}

function inspectPage(bytes: Uint8Array, common: CommonFacts): Inspection {
  const parsed = parsePath(common.file.split('/').slice(-2).join('/'))
  const name =
    parsed?.kind === 'manifest' && parsed.file.kind === 'page' ? parsed.file.sha256 : null
  const runs = decodePage(bytes, name, common.file).map(({ logId, partition, source }) => ({
    logId,
    partition,
    segments: Array.from({ length: source.length }, (_, index) => source.at(index)),
  }))
  return { report: { kind: 'manifest-page', ...common, runs }, problems: [] }
}
