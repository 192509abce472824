import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isStratalogError } from '../../../src/base/errors.ts'
import { applyEdits, emptyManifestState } from '../../../src/format/manifest-builder.ts'
import {
  GENESIS_HASH,
  type ManifestBase,
  type ManifestCommit,
  decodeBase,
  decodeCommit,
  encodeBase,
  encodeCommit,
} from '../../../src/format/manifest-codec.ts'
import { planPages } from '../../../src/format/manifest-page-list.ts'
import { type StoredRun, decodePage, encodePage } from '../../../src/format/manifest-page.ts'
import type { ManifestEdit, ManifestState } from '../../../src/format/manifest.ts'
import type { PageName } from '../../../src/format/segment-chunk.ts'
import {
  EVERY_EDIT,
  baseOf,
  goldenPath,
  logDefinition,
  segmentEntry,
} from '../../support/manifests.ts'

const COMMIT: ManifestCommit = {
  number: 1,
  previousHash: GENESIS_HASH,
  epoch: 1,
  writerId: 'first',
  time: 10_000,
  edits: EVERY_EDIT,
}
const STATE = applyEdits(emptyManifestState(), EVERY_EDIT)
const PAGES = planPages(STATE).added.map(encodePage)
const BASE: ManifestBase = {
  ...baseOf(STATE),
  time: 10_001,
  pages: PAGES.map(({ page }) => page),
}

/** The runs of pages, by the bytes of each. */
function runsOf(
  pages: readonly { readonly page: PageName; readonly bytes: Uint8Array }[],
): (readonly StoredRun[])[] {
  return pages.map(({ page, bytes }) => decodePage(bytes, page.sha256, 'f'))
}

/** A state as plain values, so that states compare by what they hold. */
function plain(state: ManifestState): unknown {
  return { ...state, logs: [...state.logs.values()], snapshots: [...state.snapshots.values()] }
}

function codeOf(action: () => unknown): string {
  try {
    action()
    return 'none'
  } catch (error) {
    return isStratalogError(error) ? error.code : String(error)
  }
}

describe('a commit file', () => {
  test('gives back every kind of edit', () => {
    expect(decodeCommit(encodeCommit(COMMIT), 'f')).toEqual(COMMIT)
  })

  test('gives back any segment', () => {
    const integer = fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER })
    const value = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => (x === 0 ? 0 : x)),
      fc.string(),
    )
    fc.assert(
      fc.property(integer, fc.array(value), fc.nat(), (time, values, bytes) => {
        const statistics = values.map((min) => ({ nullCount: 1, min }))
        const segment = segmentEntry(5, 6, {
          timeMin: time,
          appendTimeMax: time,
          statistics,
          rawBytes: bytes,
        })
        const edit: ManifestEdit = { kind: 'segment-added', logId: 1, partition: 0, segment }
        expect(decodeCommit(encodeCommit({ ...COMMIT, edits: [edit] }), 'f').edits).toEqual([edit])
      }),
    )
  })

  test('keeps the terms of records in RAM, and leaves them out where there are none', () => {
    const terms = { ttl: 60_000, priority: -7, maxMemoryBytes: 4_096 }
    const edit: ManifestEdit = {
      kind: 'policy-changed',
      logId: 1,
      policy: { ...logDefinition(1).policy, ...terms },
    }
    const bytes = encodeCommit({ ...COMMIT, edits: [edit] })
    expect(decodeCommit(bytes, 'f').edits).toEqual([edit])
    expect(Buffer.from(encodeCommit(COMMIT)).includes('"ttl"')).toBe(false)
    const wrong = { ...edit, policy: { ...edit.policy, priority: 1_001 } }
    const { edits: _edits, ...head } = COMMIT
    expect(() =>
      decodeCommit(fileOf('manifest-commit', [{ ...head, edits: 1 }, wrong]), 'f'),
    ).toThrow(/policy.priority is above 1000/)
  })

  test('of version 1 is read as ever', () => {
    const golden = readFileSync(goldenPath('manifest-v1/every-edit.edit'))
    expect(decodeCommit(golden, 'f')).toEqual(COMMIT)
    expect(Buffer.from(encodeCommit(COMMIT)).equals(golden)).toBe(true)
  })

  test('with any bit flipped is refused', () => {
    const bytes = Buffer.from(encodeCommit({ ...COMMIT, edits: EVERY_EDIT.slice(0, 3) }))
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Buffer.from(bytes)
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(
        codeOf(() => decodeCommit(damaged, 'f')),
        `bit ${bit}`,
      ).toMatch(/^(manifest_corrupt|format_unsupported)$/)
    }
  })

  test('cut at any length, or with bytes after its end, is refused', () => {
    const bytes = Buffer.from(encodeCommit({ ...COMMIT, edits: EVERY_EDIT.slice(0, 3) }))
    for (let length = 0; length < bytes.length; length++) {
      expect(
        codeOf(() => decodeCommit(bytes.subarray(0, length), 'f')),
        `length ${length}`,
      ).toBe('manifest_corrupt')
    }
    expect(codeOf(() => decodeCommit(Buffer.concat([bytes, Buffer.from('\n')]), 'f'))).toBe(
      'manifest_corrupt',
    )
  })

  test('of an unknown version is refused as such', () => {
    const text = '{"stratalog":"manifest-commit","formatVersion":2,"what":"ever"}\n'
    expect(codeOf(() => decodeCommit(Buffer.from(text), 'f'))).toBe('format_unsupported')
  })

  test('is not taken for a base', () => {
    expect(codeOf(() => decodeBase(encodeCommit(COMMIT), 'f'))).toBe('manifest_corrupt')
  })

  test.each<[string, unknown]>([
    ['line 3.kind is none of', { kind: 'segment-moved' }],
    ['line 3.kind is missing', {}],
    ['line 3 is not an object', []],
    ['line 3 has a field too many', { kind: 'checkpoint', walLsn: 1, more: 1 }],
    ['line 3 has a field too many', JSON.parse('{"kind":"checkpoint","walLsn":1,"__proto__":{}}')],
    ['line 3.walLsn is not a whole number', { kind: 'checkpoint', walLsn: -1 }],
    ['line 3.walLsn is not a whole number', { kind: 'checkpoint', walLsn: '1' }],
    ['line 3.walLsn is not a whole number', { kind: 'checkpoint', walLsn: 1.5 }],
    ['engineId is not an engine id', { kind: 'engine-created', engineId: '../..' }],
    [
      'line 3.log.name',
      { kind: 'log-created', log: logDefinition(1, { name: '../x' }), startOffsets: [0] },
    ],
    [
      'line 3.segment.statistics[0].min',
      segmentEdit({ statistics: [{ nullCount: 0, min: null }] }),
    ],
    ['line 3.segment.sha256', segmentEdit({ sha256: 'a' })],
    [
      'line 3.segment.disk.object',
      segmentEdit({ disk: { object: '../etc', position: 0, length: 1 } }),
    ],
  ])('with a sound checksum and a wrong edit says %s', (reason, edit) => {
    const { edits, ...head } = COMMIT
    const bytes = fileOf('manifest-commit', [{ ...head, edits: 1 }, edit])
    expect(edits.length).toBeGreaterThan(1)
    expect(() => decodeCommit(bytes, 'manifest/7')).toThrow(
      expect.objectContaining({
        code: 'manifest_corrupt',
        message: expect.stringContaining(reason) as string,
      }),
    )
  })

  test('with fewer edits than its head says is refused', () => {
    const { edits, ...head } = COMMIT
    const bytes = fileOf('manifest-commit', [{ ...head, edits: edits.length + 1 }, ...edits])
    expect(codeOf(() => decodeCommit(bytes, 'f'))).toBe('manifest_corrupt')
  })
})

describe('a base file', () => {
  test('gives back the whole state', () => {
    const { bare, complete, ...head } = decodeBase(encodeBase(BASE), 'f')
    expect({ ...head, state: plain(complete(runsOf(PAGES))) }).toEqual({
      ...BASE,
      state: plain(BASE.state),
    })
    expect(bare.logs.get(1)?.partitions[0]?.segments.length).toBe(0)
  })

  test('of version 1 is read as ever', () => {
    const golden = readFileSync(goldenPath('manifest-v1/every-edit.base'))
    const { pages, complete } = decodeBase(golden, 'f')
    const runs = pages.map(({ sha256 }) =>
      decodePage(readFileSync(goldenPath('manifest-v1/every-edit.page')), sha256, 'f'),
    )
    expect(plain(complete(runs))).toEqual(plain(BASE.state))
    expect(Buffer.from(encodeBase(BASE)).equals(golden)).toBe(true)
  })

  test('with any bit flipped is refused', () => {
    const bytes = Buffer.from(encodeBase(BASE))
    for (let bit = 0; bit < bytes.length * 8; bit += 3) {
      const damaged = Buffer.from(bytes)
      damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(
        codeOf(() => decodeBase(damaged, 'f')),
        `bit ${bit}`,
      ).toMatch(/^(manifest_corrupt|format_unsupported)$/)
    }
  })

  test('of a hundred thousand segments is written and read', () => {
    const edits: ManifestEdit[] = [...EVERY_EDIT]
    for (let offset = 100; offset < 100_100; offset++) {
      edits.push({
        kind: 'segment-added',
        logId: 1,
        partition: 0,
        segment: segmentEntry(offset, offset + 1),
      })
    }
    const state = applyEdits(emptyManifestState(), edits)
    const pages = planPages(state).added.map(encodePage)
    const root = encodeBase({ ...baseOf(state), pages: pages.map(({ page }) => page) })
    const decoded = decodeBase(root, 'f').complete(runsOf(pages))
    expect([...(decoded.logs.get(1)?.partitions[0]?.segments ?? [])]).toEqual([
      ...(state.logs.get(1)?.partitions[0]?.segments ?? []),
    ])
    expect(root.length).toBeLessThan(50_000)
  })
})

function segmentEdit(changes: Record<string, unknown>): Record<string, unknown> {
  return {
    kind: 'segment-added',
    logId: 1,
    partition: 0,
    segment: { ...segmentEntry(0, 1), ...changes },
  }
}

/** A manifest file made by hand, as docs/formats.md says. */
function fileOf(kind: string, lines: readonly unknown[]): Uint8Array {
  const body = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  const sha256 = createHash('sha256').update(body).digest('hex')
  const envelope = JSON.stringify({ stratalog: kind, formatVersion: 1, bytes: body.length, sha256 })
  return Buffer.concat([Buffer.from(`${envelope}\n`), body])
}
