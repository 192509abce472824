import { describe, expect, test } from 'vitest'
import { decodeIdentity, encodeIdentity } from '../../../src/format/identity.ts'

describe('the identity file', () => {
  test('says what it was made with', () => {
    const identity = { kind: 'archive', engineId: 'engine-1' } as const
    expect(decodeIdentity(encodeIdentity(identity), '/data')).toEqual(identity)
  })

  test.each([
    ['', 'it is not JSON'],
    ['[]', 'it is not an object'],
    ['{"name":"other","version":"1.0.0"}', 'stratalog is missing'],
    [
      '{"stratalog":"directory","formatVersion":1,"engineId":"../up"}',
      'engineId is not an engine id',
    ],
    ['{"stratalog":"directory","formatVersion":1,"engineId":"a","more":1}', 'a field too many'],
  ])('%j is foreign: %s', (text, reason) => {
    expect(() => decodeIdentity(Buffer.from(text), '/data')).toThrow(
      expect.objectContaining({
        code: 'directory_foreign',
        message: expect.stringContaining(reason) as string,
      }),
    )
  })

  test('of another version is refused as such', () => {
    const text = '{"stratalog":"directory","formatVersion":2,"somethingElse":[]}'
    expect(() => decodeIdentity(Buffer.from(text), '/data')).toThrow(
      expect.objectContaining({ code: 'format_unsupported' }),
    )
  })
})
