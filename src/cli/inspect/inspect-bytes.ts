/** From the bytes of a file of ours to what it says of itself. Damage is reported beside what is still readable. */
import { isStratalogError, StratalogError, toStratalogError } from '../../base/errors.ts'
import { sha256Hex } from '../../format/checksum.ts'
import { decodeIdentity } from '../../format/identity.ts'
import { decodeBase, decodeCommit, manifestFileHash } from '../../format/manifest-codec.ts'
import { encodeEdit } from '../../format/manifest-edit-json.ts'
import type { LogState } from '../../format/manifest.ts'
import { decodeBlock, decodeDictionaries, parseSegmentTail } from '../../format/segment-reader.ts'
import type { SegmentFacts } from '../../format/segment.ts'
import { inspectWal } from './inspect-wal.ts'
import type { CommonFacts, Inspection, Problem } from './inspection.ts'

/** @throws StratalogError `input_invalid` for no file of ours, kind `corrupt` when all is lost. */
export function inspectBytes(file: string, bytes: Uint8Array): Inspection {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 64)).toString(
    'latin1',
  )
  const common = { file, length: bytes.length, sha256: sha256Hex(bytes) }
  if (head.startsWith('STRATWAL')) return inspectWal(bytes, common)
  if (head.startsWith('ARROW1')) return inspectSegment(bytes, common)
  if (head.startsWith('{"stratalog":"manifest-commit"')) return inspectCommit(bytes, common)
  if (head.startsWith('{"stratalog":"manifest-base"')) return inspectBase(bytes, common)
  if (head.startsWith('{"stratalog":"')) {
    const identity = decodeIdentity(bytes, file)
    return {
      report: { kind: 'identity', ...common, of: identity.kind, engineId: identity.engineId },
      problems: [],
    }
  }
  throw new StratalogError(
    'input_invalid',
    `${file} is no file of Stratalog: neither segment, WAL, manifest nor identity.`,
    {
      details: { file },
    },
  )
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
  const unreadable = problems.reduce((sum, { from = 0, to = 0 }) => sum + to - from, 0)
  const report = {
    kind: 'segment',
    ...common,
    ...withIsoTimes(facts),
    batches: facts.batches.map(withIsoTimes),
    records: facts.endOffset - facts.baseOffset,
    compression: Math.round((facts.rawBytes / bytes.length) * 100) / 100,
    verified: problems.length === 0,
    readableRecords: facts.endOffset - facts.baseOffset - unreadable,
    problems,
  }
  return { report, problems }
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
  return facts.batches.flatMap(
    ({ position, metadataLength, bodyLength, baseOffset, length }, index) => {
      try {
        decodeBlock(
          facts,
          index,
          bytes.subarray(position, position + metadataLength + bodyLength),
          dictionaries,
        )
        return []
      } catch (error) {
        return [
          { position, reason: corruptReason(error), from: baseOffset, to: baseOffset + length },
        ]
      }
    },
  )
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

function inspectBase(bytes: Uint8Array, common: CommonFacts): Inspection {
  const { number, commitHash, time, state } = decodeBase(bytes, common.file)
  const { engineId, epoch, writer, nextLogId, walLsn, logs, snapshots } = state
  const report = {
    kind: 'manifest-base',
    ...common,
    number,
    commitHash,
    time: new Date(time).toISOString(),
    engineId,
    epoch,
    writer,
    nextLogId,
    walLsn,
    logs: [...logs.values()].map(logReport),
    snapshots: [...snapshots.values()],
  }
  return { report, problems: [] }
}

function logReport({
  definition,
  schemas,
  partitions,
}: LogState): Readonly<Record<string, unknown>> {
  const segments = partitions.flatMap((partition) => partition.segments)
  return {
    id: definition.id,
    name: definition.name,
    policy: definition.policy,
    schemas,
    partitions: partitions.map(({ startOffset, segments: own }, partition) => ({
      partition,
      startOffset,
      endOffset: own.at(-1)?.endOffset ?? startOffset,
      segments: own.length,
    })),
    bytes: segments.reduce((sum, segment) => sum + segment.length, 0),
  }
}
