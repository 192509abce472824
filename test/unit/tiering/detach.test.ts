/** Detach and attach, stopped at every step: what comes after finds the log as it was, or gone to the archive whole. */
import { describe, expect, test } from 'vitest'
import { attachLog } from '../../../src/engine/attach-log.ts'
import type { LogRegistry } from '../../../src/engine/log-registry.ts'
import type { ManifestState } from '../../../src/format/manifest.ts'
import type { LiveLog } from '../../../src/log/live-log.ts'
import { manifestFilesInDirectory } from '../../../src/log/manifest-files.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import { detachLog } from '../../../src/tiering/detach.ts'
import { flushPartition } from '../../../src/tiering/flush.ts'
import { uploadSegments } from '../../../src/tiering/upload.ts'
import { flipInBlock } from '../../support/archive-fixture.ts'
import { expectError } from '../../support/expect-error.ts'
import { appendRows, visibleRows } from '../../support/live-logs.ts'
import {
  type Bench,
  DATA_DIR,
  eager,
  isManifestPut,
  outline,
  tieringBench,
} from '../../support/tiering.ts'

/** A log with a segment of two records, on disk and in the archive. */
async function archived(): Promise<{ readonly bench: Bench; readonly log: LiveLog }> {
  const bench = await tieringBench()
  const log = await bench.addLog({ policy: eager() })
  await appendRows(log, [{ n: 0 }, { n: 1 }])
  const partition = log.partition(0)
  await flushPartition(bench.context, log, partition, 'disk')
  await uploadSegments(bench.context, log, partition, [0])
  bench.steps.length = 0
  return { bench, log }
}

function detach(bench: Bench, log: LiveLog): Promise<unknown> {
  return detachLog(bench.context, log, () => {})
}

/** As its files say. */
async function committed({ files, clock }: Bench): Promise<ManifestState> {
  return (await ManifestStore.open(manifestFilesInDirectory(files, DATA_DIR), { clock })).state
}

async function segmentFiles({ files }: Bench): Promise<readonly string[]> {
  return files.list(`${DATA_DIR}/segments/1/0`)
}

/** Of a log that is attached: only what a registry is told. */
function registryOf(names: readonly string[] = []): {
  readonly registry: LogRegistry
  readonly told: string[]
} {
  const told: string[] = []
  const registry = {
    reserve: (name: string) => {
      told.push(`reserve ${name}`)
      return !names.includes(name)
    },
    release: (name: string) => void told.push(`release ${name}`),
    add: (state: { readonly definition: { readonly name: string } }) => {
      told.push(`add ${state.definition.name}`)
      return state
    },
  }
  return { registry: registry as unknown as LogRegistry, told }
}

function attach({ disk, archive }: Bench, registry: LogRegistry): Promise<unknown> {
  return attachLog({ manifest: disk.manifest, archive, registry, place: null }, 'log-1')
}

describe('detach', () => {
  test('reads the objects back, then commits, then removes the files', async () => {
    const { bench, log } = await archived()
    expect(await detach(bench, log)).toMatchObject([{ from: 0, to: 2, fromTier: 'disk' }])
    expect(outline(bench.steps)).toEqual([
      'object head segments',
      'disk put manifest',
      'disk remove segments',
    ])
    expect((await committed(bench)).detachedLogs.get(1)).toBe('log-1')
    await expectError(appendRows(log, [{ n: 2 }]), 'engine_closed')
  })

  test('stopped before its commit leaves the log as it was', async () => {
    for (const kind of ['object head', 'disk put manifest']) {
      const { bench, log } = await archived()
      bench.fault = (step) => (step.startsWith(kind) ? 'store_unavailable' : null)
      await expectError(detach(bench, log), 'store_unavailable')
      expect((await committed(bench)).logs.has(1)).toBe(true)
      expect(await segmentFiles(bench)).toHaveLength(1)
    }
  })

  test('that is tried again after an error ends as one that met none', async () => {
    const { bench, log } = await archived()
    bench.fault = (step) => (step.startsWith('object head') ? 'store_unavailable' : null)
    await expectError(detach(bench, log), 'store_unavailable')
    bench.fault = () => null
    expect(visibleRows(log)).toHaveLength(2)
    await detach(bench, log)
    expect((await committed(bench)).detachedLogs.size).toBe(1)
  })

  test('whose commit is answered with an error, and done all the same, is done', async () => {
    const { bench, log } = await archived()
    bench.lostReply = (step) => isManifestPut('disk', step)
    const detaching = detach(bench, log)
    await detaching.catch(() => {})
    expect((await committed(bench)).logs.has(1)).toBe(false)
    await expectError(appendRows(log, [{ n: 2 }]), 'engine_closed')
  })

  test('of which nobody knows whether it is committed takes no append', async () => {
    const { bench, log } = await archived()
    bench.fault = (step) => (isManifestPut('disk', step) ? 'disk_failed' : null)
    await expectError(detach(bench, log), 'disk_failed')
    await expectError(appendRows(log, [{ n: 2 }]), 'engine_closed')
  })

  test('believes no object that it did not read back', async () => {
    const { bench, log } = await archived()
    const key = log.partition(0).segments.at(0)?.object?.object ?? ''
    await bench.objects.put(key, flipInBlock(await bench.objects.get(key)))
    await expectError(detach(bench, log), 'object_corrupt')
    expect(await segmentFiles(bench)).toHaveLength(1)
    expect((await committed(bench)).logs.has(1)).toBe(true)
  })

  test('is refused when a record comes in while it is proved', async () => {
    const { bench, log } = await archived()
    const held = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    bench.fault = (step) => {
      if (!step.startsWith('object head')) return null
      reached.resolve()
      return held.promise
    }
    const detaching = detach(bench, log)
    await reached.promise
    await appendRows(log, [{ n: 2 }])
    held.resolve()
    await expectError(detaching, 'log_not_archived')
    expect(visibleRows(log)).toHaveLength(3)
    await appendRows(log, [{ n: 3 }])
  })
})

describe('attach', () => {
  test('is one commit, and tells the registry after it', async () => {
    const { bench, log } = await archived()
    await detach(bench, log)
    bench.steps.length = 0
    const { registry, told } = registryOf()
    await attach(bench, registry)
    expect(outline(bench.steps)).toEqual(['disk put manifest'])
    expect(told).toEqual(['reserve log-1', 'add log-1'])
    const state = await committed(bench)
    expect(state.detachedLogs.size).toBe(0)
    expect(state.logs.get(1)?.partitions[0]?.segments.at(0)).toMatchObject({
      baseOffset: 0,
      endOffset: 2,
      disk: null,
      object: { position: 0 },
    })
  })

  test('whose commit is answered with an error, and done all the same, is done', async () => {
    const { bench, log } = await archived()
    await detach(bench, log)
    let puts = 0
    bench.lostReply = (step) => isManifestPut('disk', step) && puts++ === 0
    const { registry, told } = registryOf()
    await attach(bench, registry)
    expect(told).toEqual(['reserve log-1', 'add log-1'])
  })

  test('of which nobody knows whether it is committed keeps its name from others', async () => {
    const { bench, log } = await archived()
    await detach(bench, log)
    bench.fault = (step) => (isManifestPut('disk', step) ? 'disk_failed' : null)
    const { registry, told } = registryOf()
    await expectError(attach(bench, registry), 'disk_failed')
    expect(told).toEqual(['reserve log-1'])
  })

  test('of a log that is there, or is in no archive, is refused', async () => {
    const { bench, log } = await archived()
    await expectError(attach(bench, registryOf(['log-1']).registry), 'log_exists')
    const { registry, told } = registryOf()
    await expectError(attach(bench, registry), 'log_not_found')
    expect(told).toEqual(['reserve log-1', 'release log-1'])
    expect(log.name).toBe('log-1')
  })
})
