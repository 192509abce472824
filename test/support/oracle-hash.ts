/**
 * The hash of a log, computed from plain records and the text of docs/formats.md alone: the oracle that our hasher, our
 * writers and our readers are judged by. It shares no code with them.
 */
import { createHash } from 'node:crypto'

export interface OracleField {
  readonly name: string
  readonly type: string
}

export interface OracleRecord {
  readonly partition: number
  readonly offset: number
  readonly values: Readonly<Record<string, unknown>>
}

/** Records of one partition in offset order; the partitions in any. `fields` are the user's columns. */
export function oracleHash(
  fields: readonly OracleField[],
  records: readonly OracleRecord[],
): string {
  const columns = fields
    .filter((field) => field.name !== '_time')
    .map(({ name, type }) => ({ name, type }))
    .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
  const columnsText = Buffer.from(JSON.stringify(columns))
  const numbers = [...new Set(records.map((record) => record.partition))].sort((a, b) => a - b)
  const parts = numbers.map((number) => {
    const own = records.filter((record) => record.partition === number)
    return partitionHash(number, columns, own)
  })
  return sha256(Buffer.concat([uint32(columnsText.length), columnsText, ...parts])).toString('hex')
}

function partitionHash(
  number: number,
  columns: readonly OracleField[],
  records: readonly OracleRecord[],
): Buffer {
  const runs: [bigint, bigint][] = []
  for (const { offset } of records) {
    const last = runs.at(-1)
    if (last !== undefined && last[1] === BigInt(offset)) last[1] += 1n
    else runs.push([BigInt(offset), BigInt(offset) + 1n])
  }
  const head = [uint32(number), uint32(runs.length), ...runs.flat().map(uint64)]
  const hashes = columns.map((column) =>
    columnHash(
      column.type,
      records.map((record) => record.values[column.name] ?? null),
    ),
  )
  return sha256(Buffer.concat([...head, ...hashes]))
}

function columnHash(type: string, values: readonly unknown[]): Buffer {
  const presence = sha256(Buffer.from(values.map((value) => (value === null ? 0 : 1))))
  if (type === 'utf8' || type === 'json' || type === 'binary') {
    const bytes = values.map((value) => (value === null ? Buffer.alloc(0) : bytesOf(type, value)))
    const lengths = sha256(Buffer.concat(bytes.map((value) => uint32(value.length))))
    return sha256(Buffer.concat([presence, lengths, sha256(Buffer.concat(bytes))]))
  }
  const width = bytesOf(type, zeroOf(type)).length
  const bytes = values.map((value) => (value === null ? Buffer.alloc(width) : bytesOf(type, value)))
  return sha256(Buffer.concat([presence, sha256(Buffer.concat(bytes))]))
}

function zeroOf(type: string): unknown {
  if (type === 'bool') return false
  if (type === 'date' || type.startsWith('timestamp')) return new Date(0)
  return type.startsWith('decimal') ? '0' : 0
}

function bytesOf(type: string, value: unknown): Buffer {
  if (type === 'utf8') return Buffer.from(value as string)
  if (type === 'json') return Buffer.from(JSON.stringify(value))
  if (type === 'binary') return Buffer.from(value as Uint8Array)
  if (type === 'bool') return Buffer.from([value === true ? 1 : 0])
  if (type === 'float32') return Buffer.from(Float32Array.of(value as number).buffer)
  if (type === 'float64') return Buffer.from(Float64Array.of(value as number).buffer)
  if (type === 'date') return integer(BigInt(Math.floor((value as Date).getTime() / 86_400_000)), 4)
  if (type.startsWith('timestamp')) return integer(timestampCount(type, value), 8)
  if (type.startsWith('decimal')) return integer(decimalCount(type, String(value)), 16)
  return integer(BigInt(value as number | bigint), Number(/\d+$/.exec(type)?.[0]) / 8)
}

function timestampCount(type: string, value: unknown): bigint {
  if (typeof value === 'bigint') return value
  const ms = BigInt((value as Date).getTime())
  if (type === 'timestamp[s]') return ms / 1000n
  if (type === 'timestamp[us]') return ms * 1000n
  return type === 'timestamp[ns]' ? ms * 1_000_000n : ms
}

function decimalCount(type: string, text: string): bigint {
  const scale = Number(/,(\d+)\)/.exec(type)?.[1])
  const [whole = '0', fraction = ''] = text.replace('-', '').split('.')
  const digits = BigInt(whole + fraction.padEnd(scale, '0'))
  return text.startsWith('-') ? -digits : digits
}

/** Little-endian two's complement. */
function integer(value: bigint, byteCount: number): Buffer {
  const bytes = Buffer.alloc(byteCount)
  let left = BigInt.asUintN(byteCount * 8, value)
  for (let index = 0; index < byteCount; index++) {
    bytes[index] = Number(left & 0xffn)
    left >>= 8n
  }
  return bytes
}

function uint32(value: number): Buffer {
  return integer(BigInt(value), 4)
}

function uint64(value: bigint): Buffer {
  return integer(value, 8)
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
