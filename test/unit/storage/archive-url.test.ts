import { describe, expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { parseArchiveUrl } from '../../../src/storage/archive-url.ts'

function refusal(text: string): StratalogError {
  try {
    parseArchiveUrl(text)
  } catch (error) {
    if (error instanceof StratalogError) return error
    throw error
  }
  throw new Error(`${text} was taken`)
}

describe('an archive URL', () => {
  test.each([
    ['s3://bucket', { kind: 's3', url: 's3://bucket', bucket: 'bucket', prefix: '' }],
    ['s3://bucket/', { kind: 's3', url: 's3://bucket', bucket: 'bucket', prefix: '' }],
    [
      'S3://my.bucket-1/a/b=c/',
      { kind: 's3', url: 's3://my.bucket-1/a/b=c', bucket: 'my.bucket-1', prefix: 'a/b=c' },
    ],
    [
      'file:///var/lib/archive/',
      { kind: 'directory', url: 'file:///var/lib/archive', path: '/var/lib/archive' },
    ],
    ['file://localhost/x', { kind: 'directory', url: 'file:///x', path: '/x' }],
    [
      'file:///with%20space',
      { kind: 'directory', url: 'file:///with%20space', path: '/with space' },
    ],
    ['file:///a/../b', { kind: 'directory', url: 'file:///b', path: '/b' }],
    ['memory://one', { kind: 'memory', url: 'memory://one', name: 'one' }],
  ])('%s is understood', (text, expected) => {
    expect(parseArchiveUrl(text)).toEqual(expected)
  })

  test.each([
    '',
    'bucket/prefix',
    '/var/lib/archive',
    'http://example.com/bucket',
    's3:bucket',
    's3://',
    's3:///prefix',
    's3://ab',
    's3://Bucket',
    's3://bucket_1',
    's3://a..b',
    's3://bucket/a//b',
    's3://bucket/../b',
    's3://bucket/a b',
    's3://bucket/ä',
    's3://bucket/p?x=1',
    `s3://bucket/${'p'.repeat(300)}`,
    'file://',
    'file:///',
    'file://host/path',
    'file:///a?b',
    'file:///a#b',
    'file:///a%2Fb',
    'memory://',
    'memory://a/b',
  ])("'%s' is refused, and the message says what is allowed", (text) => {
    const error = refusal(text)
    expect(error.code).toBe('url_invalid')
    expect(error.message).toContain('s3://bucket/prefix')
    expect(error.message).toContain('file:///')
  })

  test('with credentials in it is refused without repeating them', () => {
    const error = refusal('s3://AKIA:secret@bucket/prefix')
    expect(JSON.stringify(error)).not.toContain('secret')
    expect(error.message).toContain('credentials do not belong in it')
  })
})
