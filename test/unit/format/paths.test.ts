import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  cachePath,
  isSafePath,
  manifestPath,
  manifestPathAfter,
  parsePath,
  segmentKey,
  segmentPath,
  temporaryPath,
  walPath,
} from '../../../src/format/paths.ts'

const offset = fc.nat(Number.MAX_SAFE_INTEGER)
const sha256 = fc.string({
  unit: fc.constantFrom(...'0123456789abcdef'.split('')),
  minLength: 64,
  maxLength: 64,
})
const segment = fc.record({
  logId: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  partition: fc.nat(1023),
  baseOffset: fc.nat(Number.MAX_SAFE_INTEGER),
  sha256,
  format: fc.constantFrom('arrow' as const, 'parquet' as const),
})

describe('paths', () => {
  test('have these forms', () => {
    const name = {
      logId: 7,
      partition: 0,
      baseOffset: 42,
      sha256: 'ab'.repeat(32),
      format: 'arrow',
    } as const
    expect(manifestPath({ kind: 'commit', number: 1 })).toBe('manifest/000000000001.edit')
    expect(manifestPath({ kind: 'base', number: 64 })).toBe('manifest/000000000064.base')
    expect(walPath(4096)).toBe('wal/00000000000000004096.wal')
    expect(segmentPath(name)).toBe('segments/7/0/0000000000000042-abababababababab.arrow')
    expect(segmentKey(name)).toBe(
      'segments/7/0/0000000000000042-abababababababababababababababab.arrow',
    )
    expect(temporaryPath('x1')).toBe('tmp/x1')
    expect(cachePath('x1')).toBe('cache/x1')
  })

  test('are parsed to what built them', () => {
    fc.assert(
      fc.property(segment, offset, fc.nat(10 ** 12 - 1), (name, lsn, number) => {
        const { sha256: full, ...rest } = name
        expect(parsePath(segmentPath(name))).toEqual({
          kind: 'segment',
          ...rest,
          hash: full.slice(0, 16),
        })
        expect(parsePath(segmentKey(name))).toEqual({
          kind: 'segment',
          ...rest,
          hash: full.slice(0, 32),
        })
        expect(parsePath(manifestPath({ kind: 'base', number }))).toEqual({
          kind: 'manifest',
          file: { kind: 'base', number },
        })
        expect(parsePath(walPath(lsn))?.kind).toBe('wal')
        expect(isSafePath(segmentKey(name))).toBe(true)
      }),
    )
  })

  test.each([
    '',
    'lock/',
    'stratalog.json.tmp',
    'manifest/1.edit',
    'manifest/000000000001.edit.tmp',
    'manifest/sub/000000000001.edit',
    'wal/1.wal',
    'wal/99999999999999999999.wal',
    'segments/07/0/0000000000000042-abababababababab.arrow',
    'segments/7/0/0000000000000042-abab.arrow',
    'segments/7/0/0000000000000042-ABABABABABABABAB.arrow',
    'tmp/..',
    'tmp/a/b',
    '../stratalog.json',
  ])('%j is none of ours', (path) => {
    expect(parsePath(path)).toBeNull()
  })

  test('sort by number, and a commit and its base before the next commit', () => {
    const inOrder = [
      manifestPath({ kind: 'base', number: 9 }),
      manifestPath({ kind: 'commit', number: 9 }),
      manifestPathAfter(9),
      manifestPath({ kind: 'base', number: 10 }),
    ]
    expect([...inOrder].sort()).toEqual(inOrder)
  })

  test.each(['a/../b', '/a', 'a//b', 'a\\b', 'a b', '..', ''])('%j is not safe', (path) => {
    expect(isSafePath(path)).toBe(false)
  })
})
