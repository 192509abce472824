import { expect, test } from 'vitest'
import { isLogName, parseLogName } from '../../../src/base/log-name.ts'

test('names are lowered, and may have dots, dashes and underscores behind the first character', () => {
  expect(['clicks', '0', 'A.B-c_9', 'x'.repeat(128)].map(parseLogName)).toEqual([
    'clicks',
    '0',
    'a.b-c_9',
    'x'.repeat(128),
  ])
})

test('refuses what could be a path, a reserved name or another script', () => {
  const given = [
    '',
    '.',
    '..',
    '.hidden',
    '-a',
    '_a',
    'a/b',
    'a\\b',
    '../up',
    'a b',
    'a\u0000',
    'a\n',
    'é',
    'İ',
    'ﬁ',
    'x'.repeat(129),
    '__proto__',
    'log$latest',
    null,
    undefined,
    5,
    5n,
    {},
    ['a'],
  ]
  for (const name of given) {
    expect(() => parseLogName(name), typeof name).toThrow(
      expect.objectContaining({ code: 'log_name_invalid' }),
    )
  }
})

test('isLogName knows names as they stand, not as they could be', () => {
  expect(['a', 'A', 'a\n', ''].map(isLogName)).toEqual([true, false, false, false])
})
