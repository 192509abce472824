/**
 * The end of a WAL that was not sealed, and what damage there may cost: an append that no later frame proves durable is
 * what a crash cuts off, and nobody can tell that apart (reliability rule 3). All else must be missed.
 */
import { readFileSync } from 'node:fs'
import { decodeIdentity } from '../../../src/format/identity.ts'
import { WAL_FILE_HEADER_BYTES } from '../../../src/format/wal-file.ts'
import {
  WAL_FRAME_HEADER_BYTES,
  type WalFrame,
  walFrameBytes,
} from '../../../src/format/wal-frame.ts'
import { WalFileReader } from '../../../src/log/wal-file-reader.ts'
import { listWalFiles } from '../../../src/log/wal-scan.ts'
import { walPath } from '../../../src/format/paths.ts'
import { NodeSyncFileSystem } from '../../../src/storage/node-sync-file-system.ts'
import type { Damage } from './damage.ts'

/** By `log/partition`: how many records there are, from offset 0 on. */
export type Records = Readonly<Record<string, number>>

export interface WalTail {
  /** Below the place. */
  readonly file: string
  readonly frames: readonly TailFrame[]
}

interface TailFrame {
  readonly start: number
  readonly end: number
  readonly lsn: number
  readonly durableLsn: number
  /** Whose it is; null of none. */
  readonly log: string | null
  /** `log/partition`; null when it holds no records. */
  readonly key: string | null
  readonly recordCount: number
}

/** The frames of the newest WAL file. `names` are those of logs, by id. */
export function readWalTail(place: string, names: ReadonlyMap<number, string>): WalTail {
  const identity = decodeIdentity(readFileSync(`${place}/data/stratalog.json`), place)
  const fileSystem = new NodeSyncFileSystem()
  const directory = `${place}/data/wal`
  const startLsn = listWalFiles(fileSystem, directory).at(-1) ?? 0
  const reader = new WalFileReader(fileSystem, directory, startLsn, identity.engineId)
  const frames: TailFrame[] = []
  try {
    let start = WAL_FILE_HEADER_BYTES
    for (;;) {
      const found = reader.frameAt(start, reader.facts.capacity, null)
      if ('reason' in found) break
      const end = start + walFrameBytes(found.frame.payloadLength)
      frames.push({ start, end, ...described(found.frame, names) })
      start = end
    }
  } finally {
    reader.close()
  }
  return { file: `data/${walPath(startLsn)}`, frames }
}

function described(
  { kind, lsn, durableLsn, logId, partition, recordCount }: WalFrame,
  names: ReadonlyMap<number, string>,
): Omit<TailFrame, 'start' | 'end'> {
  const log = kind === 'append' || kind === 'schema' ? (names.get(logId) ?? null) : null
  const key = kind === 'append' ? `${log ?? ''}/${partition}` : null
  return { lsn, durableLsn, log, key, recordCount }
}

/**
 * The log that a damage costs records of at most: where it lies in the payload of one frame, which an untouched frame
 * proves durable. Null for any other damage.
 */
export function hitLog({ files, range }: Damage, { file, frames }: WalTail): string | null {
  if (range === null || files.length !== 1 || files[0] !== file) return null
  const [from, to] = range
  const hit = frames.find(({ start, end }) => start + WAL_FRAME_HEADER_BYTES <= from && to <= end)
  if (hit === undefined) return null
  const isProven = frames.some((frame) => frame !== hit && frame.durableLsn > hit.lsn)
  return isProven ? hit.log : null
}

/**
 * How many records of each partition must still be there, or an error: all, unless the damage begins at a frame of the
 * tail that none of the untouched ones proves durable.
 */
export function leastRecords(
  { files, range }: Damage,
  all: Records,
  tail: WalTail | null,
): Records {
  if (tail === null || range === null || files.length !== 1 || files[0] !== tail.file) return all
  const [from, to] = range
  const isHit = (frame: TailFrame): boolean => frame.end > from && frame.start < to
  const first = tail.frames.find(isHit)
  if (first === undefined) return all
  const proven = tail.frames
    .filter((frame) => !isHit(frame))
    .reduce((lsn, frame) => Math.max(lsn, frame.durableLsn), 0)
  if (proven > first.lsn) return all
  const least: Record<string, number> = { ...all }
  for (const { start, key, recordCount } of tail.frames) {
    if (start >= first.start && key !== null) least[key] = (least[key] ?? 0) - recordCount
  }
  return least
}
