/** WAL files as version 1 wrote them: this program reads them, and still writes the same bytes. */
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { ColumnData } from '../../../src/format/column.ts'
import type { Schema } from '../../../src/format/schema.ts'
import {
  appendPayloadBytes,
  decodeAppendPayload,
  decodeSchemaPayload,
  encodeSchemaPayload,
  writeAppendPayload,
} from '../../../src/format/wal-payload.ts'
import { MemorySyncFileSystem } from '../../../src/storage/memory-sync-file-system.ts'
import { goldenPath } from '../../support/manifests.ts'
import { type ReadFrame, closeTestWal, openTestWal, readTestWal } from '../../support/wal.ts'

/** Run with UPDATE_GOLDEN=1 to write the files anew: only together with a new format version. */
const isUpdate = process.env['UPDATE_GOLDEN'] === '1'

const DIRECTORY = 'wal-v1'
const APPENDS = 8

const SCHEMA: Schema = {
  id: 2,
  fields: [
    { name: '_time', type: 'timestamp[ms]', nullable: false },
    { name: 'city', type: 'utf8', nullable: true },
    { name: 'open', type: 'bool', nullable: false },
  ],
}

function columns(): readonly ColumnData[] {
  const text = new TextEncoder().encode('WienGrazLinz')
  const plain = { length: 4, nullCount: 0, validity: null, offsets: null, dictionary: null }
  const times = new BigInt64Array([1n, 2n, 3n, 4n].map((index) => 1_700_000_000_000n + index))
  return [
    { ...plain, type: 'timestamp[ms]', values: new Uint8Array(times.buffer) },
    {
      ...plain,
      type: 'utf8',
      nullCount: 1,
      validity: Uint8Array.of(0b1011),
      offsets: Int32Array.of(0, 4, 8, 8, 12),
      values: text,
    },
    { ...plain, type: 'bool', values: Uint8Array.of(0b0101) },
  ]
}

/** A schema, appends of rows 1 to 4, enough of them to roll, and a clean close. */
async function writeFiles(): Promise<MemorySyncFileSystem> {
  const fileSystem = new MemorySyncFileSystem()
  const open = openTestWal(fileSystem)
  const schema = encodeSchemaPayload(SCHEMA)
  const common = { logId: 5, partition: 1, appendTime: 1_700_000_000_123 }
  open.wal.append(
    { ...common, kind: 'schema', baseOffset: 0, recordCount: 0 },
    schema.length,
    (into, position) => {
      into.set(schema, position)
    },
  )
  for (let index = 0; index < APPENDS; index++) {
    const fields = { ...common, kind: 'append', baseOffset: index * 3, recordCount: 3 } as const
    open.wal.append(fields, appendPayloadBytes(columns(), 1, 4), (into, position) => {
      writeAppendPayload(into, position, SCHEMA.id, columns(), 1, 4)
    })
    open.run()
  }
  await closeTestWal(open)
  return fileSystem
}

test('WAL files are written as they always were', async () => {
  const fileSystem = await writeFiles()
  const names = fileSystem.list('wal')
  if (isUpdate) {
    mkdirSync(goldenPath(DIRECTORY), { recursive: true })
    for (const name of names)
      writeFileSync(goldenPath(`${DIRECTORY}/${name}`), fileSystem.bytes(`wal/${name}`))
  }
  expect(names).toEqual(readdirSync(goldenPath(DIRECTORY)).sort())
  for (const name of names) {
    const golden = readFileSync(goldenPath(`${DIRECTORY}/${name}`))
    expect(golden.equals(fileSystem.bytes(`wal/${name}`)), name).toBe(true)
  }
})

test('the golden WAL files are read as they always were', () => {
  const fileSystem = new MemorySyncFileSystem()
  fileSystem.makeDirectory('wal')
  for (const name of readdirSync(goldenPath(DIRECTORY))) {
    fileSystem.replace(
      `wal/${name}`,
      new Uint8Array(readFileSync(goldenPath(`${DIRECTORY}/${name}`))),
    )
  }
  const frames: ReadFrame[] = []
  const result = readTestWal(fileSystem, frames)
  expect(result).toMatchObject({ torn: null, files: [0, 808] })
  expect(frames.map(({ frame }) => frame.kind)).toEqual([
    'schema',
    ...Array.from({ length: APPENDS }, () => 'append'),
    'seal',
  ])
  expect(decodeSchemaPayload(frames[0]?.payload ?? new Uint8Array(0))).toEqual(SCHEMA)
  for (const [index, { frame, payload }] of frames.slice(1, -1).entries()) {
    expect(frame).toMatchObject({
      logId: 5,
      partition: 1,
      baseOffset: index * 3,
      recordCount: 3,
      appendTime: 1_700_000_000_123,
    })
    const [time, city, isOpen] = decodeAppendPayload(payload, SCHEMA).columns
    expect(
      [...new BigInt64Array(time?.values.slice().buffer ?? new ArrayBuffer(0))].map(Number),
    ).toEqual([2, 3, 4].map((at) => 1_700_000_000_000 + at))
    expect([...(city?.offsets ?? [])]).toEqual([0, 4, 4, 8])
    expect(new TextDecoder().decode(city?.values)).toBe('GrazLinz')
    expect([city?.nullCount, city?.validity?.[0], isOpen?.values[0]]).toEqual([1, 0b101, 0b010])
  }
})
