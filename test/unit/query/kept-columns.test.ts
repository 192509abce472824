import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { present } from '../../../src/base/assert.ts'
import { columnReader } from '../../../src/format/column-values.ts'
import { ColumnCache } from '../../../src/query/column-cache.ts'
import type { ScanSource } from '../../../src/query/protocol.ts'
import { scanBlocks } from '../../../src/query/scan-blocks.ts'
import type { SyncFileSystem } from '../../../src/storage/file-system.ts'
import { NodeSyncFileSystem } from '../../../src/storage/node-sync-file-system.ts'
import { cutBatch, sampleBatch, sampleSchema, writeSegment } from '../../support/sample-batches.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const SCHEMA = sampleSchema({ id: 'int32', name: 'utf8', ratio: 'float64', _time: 'timestamp[ms]' })
const ROWS = Array.from({ length: 3000 }, (_, id) => ({
  id,
  name: `name ${(id * 7919) % 3000}`,
  ratio: id / 7,
  _time: new Date(id),
}))

/** Files that say where they are read. */
function countedFiles(reads: number[]): SyncFileSystem {
  const files = new NodeSyncFileSystem()
  const open: SyncFileSystem['open'] = (path, how) => {
    const file = files.open(path, how)
    return new Proxy(file, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target)
        if (typeof value !== 'function') return value
        return (...given: unknown[]): unknown => {
          if (key === 'read') reads.push(Number(given[1]))
          return Reflect.apply(value, target, given)
        }
      },
    })
  }
  return new Proxy(files, {
    get: (target, key) => (key === 'open' ? open : Reflect.get(target, key)),
  })
}

test('columns of a segment are checked and decoded once, and each query finds those that it asks for', async () => {
  const path = join(await temporaryDirectory(), 'a.arrow')
  const batch = sampleBatch(SCHEMA, ROWS)
  const { bytes, facts } = writeSegment(cutBatch(batch, [1000, 2000]), { timeColumn: '_time' })
  await writeFile(path, bytes)
  const source: ScanSource = {
    kind: 'segment',
    id: 'a',
    tier: 'disk',
    partition: 0,
    content: 'a',
    path,
    position: 0,
    length: bytes.length,
    from: facts.baseOffset,
    to: facts.endOffset,
  }
  const reads: number[] = []
  const files = countedFiles(reads)
  const kept = new ColumnCache(1e6)
  let query = 0
  const scan = (...names: readonly string[]): unknown[][] => {
    reads.length = 0
    const fields = names.map((name) =>
      present(
        SCHEMA.fields.find((field) => field.name === name),
        'a field',
      ),
    )
    const request = { files, remote: null, kept, query: ++query, fields, columns: [], bounds: null }
    const rows: unknown[][] = []
    for (const { columns, start, end } of scanBlocks({ ...request, sources: [source] })) {
      const readers = columns.map((column) => columnReader(present(column, 'a column')))
      for (let row = start; row < end; row++) rows.push(readers.map((read) => read(row)))
    }
    return rows
  }

  expect(scan('id', 'name')).toEqual(ROWS.map(({ id, name }) => [id, name]))
  expect(reads).toHaveLength(3)
  expect(scan('name', 'id')).toEqual(ROWS.map(({ id, name }) => [name, id]))
  // The footer, which tells what the blocks are.
  expect(reads).toHaveLength(1)
  expect(scan('ratio', 'name')).toEqual(ROWS.map(({ name, ratio }) => [ratio, name]))
  expect(reads).toHaveLength(2)
})
