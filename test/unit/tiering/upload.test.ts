import { describe, expect, test } from 'vitest'
import { sha256Hex } from '../../../src/format/checksum.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { dropDiskCopies } from '../../../src/tiering/evict.ts'
import { retirePartition } from '../../../src/tiering/retire.ts'
import { uploadSegments } from '../../../src/tiering/upload.ts'
import { expectError } from '../../support/expect-error.ts'
import { appendRows } from '../../support/live-logs.ts'
import { committed, filled, flush, ranges, rows } from '../../support/moved-log.ts'
import {
  type Bench,
  DATA_DIR,
  isManifestPut,
  outline,
  tieringBench,
} from '../../support/tiering.ts'

describe('upload', () => {
  async function flushedLog(bench: Bench): Promise<LiveLog> {
    const log = await filled(bench)
    await flush(bench, log)
    await bench.archive.manifest()
    bench.steps.length = 0
    return log
  }
  const upload = (bench: Bench, log: LiveLog): Promise<unknown> =>
    uploadSegments(
      bench.context,
      log,
      log.partition(0),
      log.partition(0).segments.map(({ baseOffset }) => baseOffset),
    )

  test('reads a file to its end whose segment is retired meanwhile', async () => {
    const bench = await tieringBench()
    const log = await flushedLog(bench)
    await appendRows(log, rows(10))
    await flush(bench, log)
    const { fileSystem } = bench.disk
    const read = async (path: string): Promise<Uint8Array> => {
      await retirePartition(bench.context, log, log.partition(0), 10)
      return fileSystem.read(path)
    }
    const disk = { ...bench.disk, fileSystem: { ...fileSystem, read } }
    const uploading = uploadSegments({ ...bench.context, disk }, log, log.partition(0), [0])
    expect(await uploading).toMatchObject([{ from: 0, to: 10 }])
    expect(ranges(log)).toEqual([[10, 20, true, false]])
  })

  test('puts, commits to the archive and then at home; the drop reads back', async () => {
    const bench = await tieringBench()
    const log = await flushedLog(bench)
    expect(await upload(bench, log)).toMatchObject([
      { from: 0, to: 10, fromTier: 'disk', toTier: 'object' },
    ])
    expect(outline(bench.steps)).toEqual([
      'object put segments',
      'object put manifest',
      'disk put manifest',
    ])
    expect(await committed(bench)).toEqual([[0, 10, true, true]])
    const [segment] = bench.archive.state?.logs.get(1)?.partitions[0]?.segments ?? []
    expect(segment?.disk).toBeNull()
    const bytes = await bench.objects.get(segment?.object?.object ?? '')
    expect(sha256Hex(bytes)).toBe(segment?.sha256)
  })

  test('of an object that the store keeps wrong is damage, and nothing is dropped for it', async () => {
    const bench = await tieringBench()
    const log = await flushedLog(bench)
    const put = bench.objects.put.bind(bench.objects)
    bench.objects.put = (key, bytes, options) =>
      put(
        key,
        key.startsWith('segments/') ? Uint8Array.from(bytes, (byte) => byte ^ 1) : bytes,
        options,
      )
    await expectError(upload(bench, log), 'object_corrupt')
    expect([ranges(log), await committed(bench)]).toEqual([
      [[0, 10, true, false]],
      [[0, 10, true, false]],
    ])
    expect(await dropDiskCopies(bench.context, log, log.partition(0), [0])).toEqual([])
    expect(outline(bench.steps).filter((step) => step.includes('remove'))).toEqual([])
  })

  test('of a file that rotted on disk is refused before anything is put', async () => {
    const bench = await tieringBench()
    const log = await flushedLog(bench)
    const read = bench.files.read.bind(bench.files)
    bench.files.read = async (path) => {
      const bytes = await read(path)
      return path.includes('segments/')
        ? Uint8Array.from(bytes, (byte, index) => (index === 99 ? byte ^ 1 : byte))
        : bytes
    }
    await expectError(upload(bench, log), 'segment_corrupt')
    expect(bench.steps).toEqual([])
  })

  test.each([null, '0'.repeat(64)])(
    'is read back where the answer to the put has %s as checksum',
    async (sha256) => {
      const bench = await tieringBench()
      const log = await flushedLog(bench)
      const put = bench.objects.put.bind(bench.objects)
      bench.objects.put = async (...object) => {
        await put(...object)
        return { sha256 }
      }
      await upload(bench, log)
      expect(outline(bench.steps).slice(0, 2)).toEqual([
        'object put segments',
        'object head segments',
      ])
      bench.objects.put = async (key, bytes, options) => {
        await put(key, key.startsWith('segments/') ? bytes.slice(1) : bytes, options)
        return { sha256 }
      }
      await appendRows(log, rows(5, 10))
      await flush(bench, log)
      await expectError(upload(bench, log), 'object_corrupt')
      expect(await committed(bench)).toEqual([
        [0, 10, true, true],
        [10, 15, true, false],
      ])
    },
  )

  async function manySegments(bench: Bench, count: number): Promise<LiveLog> {
    const log = await filled(bench)
    await flush(bench, log)
    for (let index = 1; index < count; index++) {
      await appendRows(log, rows(10, index * 10))
      await flush(bench, log)
    }
    await bench.archive.manifest()
    bench.steps.length = 0
    return log
  }
  const uploadEach = (bench: Bench, log: LiveLog): Promise<unknown> =>
    uploadSegments(
      bench.context,
      log,
      log.partition(0),
      log.partition(0).segments.map(({ baseOffset }) => baseOffset),
      1,
    )
  const uploaded = (log: LiveLog): number =>
    log.partition(0).segments.filter(({ object }) => object !== null).length
  const commits = (bench: Bench): number =>
    bench.steps.filter((step) => isManifestPut('object', step)).length

  test('of more than goes at once is named by a commit for every few puts', async () => {
    const bench = await tieringBench()
    const log = await manySegments(bench, 9)
    await uploadEach(bench, log)
    expect(outline(bench.steps)).toEqual(
      Array.from({ length: 3 }, () => [
        'object put segments',
        'object put manifest',
        'disk put manifest',
      ]).flat(),
    )
    expect([uploaded(log), commits(bench)]).toEqual([9, 3])
    expect(await committed(bench)).toEqual(ranges(log))
  })

  test.each([
    ['a file that is damaged', 4, 'segment_corrupt'],
    ['a put that is not answered', 4, 'store_unavailable'],
    ['the last put, which is not answered', 3, 'store_unavailable'],
  ] as const)('of several goes up to %s', async (_what, count, code) => {
    const bench = await tieringBench()
    const log = await manySegments(bench, count)
    const third = log.partition(0).segments.at(2)
    if (code === 'store_unavailable')
      bench.fault = (step) => (step.includes(third?.sha256.slice(0, 32) ?? '-') ? code : null)
    else {
      const path = `${DATA_DIR}/${third?.disk?.object ?? ''}`
      const bytes = await bench.files.read(path)
      await bench.files.remove(path)
      await bench.files.putIfAbsent(path, bytes.subarray(1))
    }
    await expectError(uploadEach(bench, log), code)
    expect([uploaded(log), commits(bench)]).toEqual([2, 1])
    expect(await committed(bench)).toEqual(ranges(log))
    expect(bench.archive.state?.logs.get(1)?.partitions[0]?.segments).toHaveLength(2)
  })

  test('whose object is there already is read back', async () => {
    const bench = await tieringBench()
    const log = await flushedLog(bench)
    bench.fault = (step) => (isManifestPut('object', step) ? 'store_unavailable' : null)
    await expectError(upload(bench, log), 'store_unavailable')
    bench.fault = () => null
    bench.steps.length = 0
    await upload(bench, log)
    expect(outline(bench.steps).slice(0, 2)).toEqual([
      'object put segments',
      'object head segments',
    ])
  })

  test.each(['object put segments', 'object put manifest', 'disk put manifest'])(
    'that fails at %s is repeated without harm',
    async (failing) => {
      const bench = await tieringBench()
      const log = await flushedLog(bench)
      bench.fault = (step) => (step.startsWith(failing) ? 'store_unavailable' : null)
      await expectError(upload(bench, log), 'store_unavailable')
      expect(ranges(log)).toEqual([[0, 10, true, false]])
      bench.fault = () => null
      await upload(bench, log)
      expect(await committed(bench)).toEqual([[0, 10, true, true]])
      expect(bench.archive.state?.logs.get(1)?.partitions[0]?.segments).toHaveLength(1)
    },
  )
})
