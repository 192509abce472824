/** Logs and appends of a simulated workload. What a record holds follows from its append, so each can be checked. */
import type { StorageOptions } from '../../src/engine/config.ts'
import { partitionOfKey } from '../../src/base/key-text.ts'
import type { AckLevel } from '../../src/format/manifest.ts'
import type { ColumnData } from '../../src/format/column.ts'
import type { ColumnType, Field } from '../../src/format/schema.ts'
import { sampleColumn } from '../support/sample-batches.ts'
import type { Dice } from './dice.ts'

export interface LogSpec {
  readonly name: string
  readonly partitions: number
  readonly isKeyed: boolean
  readonly isDeclared: boolean
  readonly storage: StorageOptions
  readonly ack: AckLevel
  readonly hasWal: boolean
  /** Old versions of its keys may go; only of a log with keys. */
  readonly keepsLatest?: boolean
  /** Levels that an append may ask for. */
  readonly levels: readonly AckLevel[]
}

/** Of an append: what of schema evolution it takes part in. */
export interface RecordShape {
  readonly extraColumns: number
  readonly isWide: boolean
  readonly padding: number
}

export interface AppendFacts extends RecordShape {
  readonly id: number
  readonly count: number
}

export type Values = Readonly<Record<string, unknown>>

export const KEYS = 7

export function keyOf(id: number): string {
  return `key-${id % KEYS}`
}

/** Of each append the records that were asked for: each is read again and again. */
const made = new WeakMap<AppendFacts, Values[]>()

export function recordOf(append: AppendFacts, index: number): Values {
  const records = made.get(append) ?? []
  made.set(append, records)
  return (records[index] ??= makeRecord(append, index))
}

function makeRecord(append: AppendFacts, index: number): Values {
  const { id, count, extraColumns, isWide, padding } = append
  const mixed = mix(id * 1_009 + index)
  const record: Record<string, unknown> = {
    id,
    index,
    count,
    key: keyOf(id),
    wide: isWide ? 2 ** 40 + (mixed % 1_000) : mixed % 1_000,
    text: `${mixed.toString(36)}-`.padEnd(8 + (padding === 0 ? 0 : mixed % padding), 'abcdefghij'),
  }
  for (let extra = 0; extra < extraColumns; extra++)
    record[`extra${extra}`] = mixed % 3 === 0 ? null : mixed % (extra + 5)
  return record
}

export const EXTRA_COLUMNS_MAX = 3
export const COLUMN_NAMES: readonly string[] = [
  'id',
  'index',
  'count',
  'key',
  'wide',
  'text',
  ...Array.from({ length: EXTRA_COLUMNS_MAX }, (_, extra) => `extra${extra}`),
]

export const DECLARED: Readonly<Record<string, ColumnType>> = {
  id: 'int32',
  index: 'int32',
  count: 'int32',
  key: 'utf8',
  wide: 'int32',
  text: 'utf8',
}

export function rowsOf(append: AppendFacts): readonly Values[] {
  return Array.from({ length: append.count }, (_, index) => recordOf(append, index))
}

/** The same records as columns. */
export function columnsOf(append: AppendFacts): {
  readonly fields: readonly Field[]
  readonly columns: readonly ColumnData[]
  readonly length: number
} {
  const rows = rowsOf(append)
  const names = COLUMN_NAMES.slice(0, 6 + append.extraColumns)
  const fields: Field[] = names.map((name) => ({
    name,
    type: typeOf(name, append),
    nullable: true,
  }))
  const columns = fields.map(({ name, type }) =>
    sampleColumn(
      type,
      rows.map((row) => row[name]),
    ),
  )
  return { fields, columns, length: rows.length }
}

function typeOf(name: string, { isWide }: AppendFacts): ColumnType {
  if (name === 'wide' && isWide) return 'int64'
  return DECLARED[name] ?? 'int32'
}

/** What is wrong with a row that is said to be record `index` of an append; null when nothing is. */
export function differenceOf(row: Values, append: AppendFacts, index: number): string | null {
  const expected = recordOf(append, index)
  for (const name of COLUMN_NAMES) {
    const given = row[name] ?? null
    const wanted = expected[name] ?? null
    if (given === wanted) continue
    // int64 gives a bigint.
    const isEqual = typeof wanted === 'number' && given !== null && Number(given) === wanted
    if (!isEqual) return `${name} is ${textOf(given)}, not ${textOf(wanted)}`
  }
  return null
}

function textOf(value: unknown): string {
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value)
}

export function partitionOf(spec: LogSpec, id: number): number {
  return spec.partitions === 1 ? 0 : partitionOfKey(keyOf(id), spec.partitions)
}

function mix(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x45d9f3b)
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** The logs of a world; `hasArchive` decides what is possible. */
export function chooseLogs(dice: Dice, hasArchive: boolean): readonly LogSpec[] {
  return Array.from({ length: dice.int(1, 4) }, (_, index) =>
    chooseLog(dice, `log-${index}`, hasArchive),
  )
}

function chooseLog(dice: Dice, name: string, hasArchive: boolean): LogSpec {
  const kind = dice.weighted({ persistent: 3, hybrid: 4, 'without-wal': 2, direct: 2, memory: 1 })
  const partitions = dice.pick([1, 1, 2, 3])
  const facts = { name, partitions, isKeyed: dice.chance(0.3), isDeclared: dice.chance(0.4) }
  return choosePolicy(dice, facts, kind, hasArchive)
}

/**
 * The same log under another policy; null when it is to stay. With an archive no log goes into RAM only, or out of it:
 * a crash takes schemas of which a snapshot has archived some.
 */
export function chooseAltered(dice: Dice, spec: LogSpec, hasArchive: boolean): LogSpec | null {
  const isDirect = spec.storage.localDisk === false
  const kind = isDirect
    ? 'direct'
    : dice.weighted({ persistent: 3, hybrid: 4, 'without-wal': 2, memory: 1 })
  return withKeep(choosePolicy(dice, spec, kind, hasArchive), spec.keepsLatest === true)
}

/** The spec of a log that keeps the latest, or all. */
export function withKeep(spec: LogSpec, keepsLatest: boolean): LogSpec {
  if (!keepsLatest) return spec
  const { storage } = spec
  const keep = storage.mode === 'memory' ? {} : ({ keep: 'latest' } as const)
  return { ...spec, keepsLatest, storage: { ...storage, ...keep } }
}

type LogFacts = Pick<LogSpec, 'name' | 'partitions' | 'isKeyed' | 'isDeclared'>
type PolicyKind = 'persistent' | 'hybrid' | 'without-wal' | 'direct' | 'memory'

function choosePolicy(
  dice: Dice,
  { name, partitions, isKeyed, isDeclared }: LogFacts,
  kind: PolicyKind,
  hasArchive: boolean,
): LogSpec {
  const facts = { name, partitions, isKeyed, isDeclared }
  const memoryTtl = dice.int(500, 20_000)
  const diskAfter = dice.int(100, memoryTtl)
  const archiveAfter = dice.int(200, 10_000)
  const toArchive = hasArchive ? { archiveAfter, diskTtl: archiveAfter + dice.int(0, 8_000) } : {}
  if (kind === 'memory')
    return {
      ...facts,
      storage: { mode: 'memory' },
      ack: 'memory',
      hasWal: false,
      levels: ['memory'],
    }
  if (kind === 'persistent') {
    const ack = 'disk'
    const storage = { mode: 'persistent', memoryTtl, diskAfter } as const
    return { ...facts, storage, ack, hasWal: true, levels: ['memory', 'disk'] }
  }
  const isDirect = kind === 'direct' && hasArchive
  const hasWal = kind === 'without-wal' ? false : isDirect ? dice.chance(0.7) : true
  const levels: AckLevel[] = ['memory']
  if (hasWal) levels.push('disk')
  if (hasArchive) levels.push('object')
  const ack = dice.chance(0.6) && hasWal ? 'disk' : dice.pick(levels)
  const storage = {
    mode: 'hybrid',
    memoryTtl,
    diskAfter,
    ...toArchive,
    ...(isDirect ? { localDisk: false } : {}),
    wal: hasWal,
    ack,
  } as const
  return { ...facts, storage, ack, hasWal, levels }
}
