/** What `verify` and `inspect` say of a manifest whose bases have pages. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { inspectBytes } from '../../../src/cli/inspect/inspect-bytes.ts'
import { checkManifest } from '../../../src/engine/verify/check-manifest.ts'
import { Findings } from '../../../src/engine/verify/verify-report.ts'
import { MANIFEST_COMMITS_PER_BASE } from '../../../src/format/limits.ts'
import { ManifestStore } from '../../../src/log/manifest-store.ts'
import {
  MemoryManifestFiles,
  goldenPath,
  logDefinition,
  segmentEntry,
  writer,
} from '../../support/manifests.ts'

const SEGMENTS = 3 * MANIFEST_COMMITS_PER_BASE

async function manifestWithPages(): Promise<MemoryManifestFiles> {
  const files = new MemoryManifestFiles()
  const store = await ManifestStore.open(files, { clock: new VirtualClock() })
  await store.claim(writer('w'), 'engine', [
    { kind: 'log-created', log: logDefinition(1), startOffsets: [0] },
    { kind: 'schema-added', logId: 1, schema: { id: 0, fields: [] } },
  ])
  for (let offset = 0; offset < SEGMENTS; offset++) {
    const segment = segmentEntry(offset, offset + 1, { statistics: [] })
    await store.commit([{ kind: 'segment-added', logId: 1, partition: 0, segment }])
  }
  await store.rebase()
  return files
}

function pagesOf(files: MemoryManifestFiles): string[] {
  return [...files.files.keys()].filter((name) => name.endsWith('.page'))
}

test('verify reads every page of a base', async () => {
  const files = await manifestWithPages()
  const findings = new Findings()
  const { position, damage } = await checkManifest(files, findings, undefined)
  expect(position.state.logs.get(1)?.partitions[0]?.segments.length).toBe(SEGMENTS)
  expect(damage).toBe(null)
  expect(findings.problems).toEqual([])
  expect(findings.files).toBe(files.files.size)
})

test.each<[string, string, (bytes: Uint8Array) => Uint8Array | null]>([
  ['missing', 'missing', () => null],
  ['damaged', 'checksum', (bytes) => bytes.map((byte, index) => (index === 90 ? byte ^ 1 : byte))],
  ['cut', 'checksum', (bytes) => bytes.subarray(0, 100)],
])('verify names a page that is %s, and reads the manifest without it', async (_, kind, damage) => {
  const files = await manifestWithPages()
  for (const page of pagesOf(files)) {
    const bytes = damage(files.files.get(page) ?? new Uint8Array())
    if (bytes === null) files.files.delete(page)
    else files.files.set(page, bytes)
  }
  const findings = new Findings()
  const checked = await checkManifest(files, findings, undefined)
  expect(checked.position.state.logs.get(1)?.partitions[0]?.segments.length).toBe(SEGMENTS)
  expect(checked.damage).toBe(null)
  expect(findings.problems.length).toBeGreaterThan(0)
  for (const { where, kind: found, other } of findings.problems) {
    expect(where).toMatch(/^memory\/pages\/[0-9a-f]{64}\.page$/)
    expect([found, other]).toEqual([kind, { kind: 'none', readable: true }])
  }
})

test('inspect tells what a base and a page have', () => {
  const base = inspectBytes('base', readFileSync(goldenPath('manifest-v1/every-edit.base')))
  expect(base.report).toMatchObject({ kind: 'manifest-base', number: 1, segments: 1 })
  const bytes = readFileSync(goldenPath('manifest-v1/every-edit.page'))
  const page = inspectBytes('copied', bytes)
  expect(page.report).toMatchObject({
    kind: 'manifest-page',
    runs: [{ logId: 1, partition: 0, segments: [{ statistics: [{}] }] }],
  })
  const named = `/data/pages/${'a'.repeat(64)}.page`
  expect(() => inspectBytes(named, bytes)).toThrow(/the checksum of its index is wrong/)
  const damaged = Uint8Array.from(bytes).map((byte, index) => (index === 90 ? byte ^ 1 : byte))
  expect(() => inspectBytes('copied', damaged)).toThrow(/the checksum of its index is wrong/)
})
