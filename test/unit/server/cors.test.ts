/** Which origins there are, which of them a server lets in, and what its answers say of it. */
import { describe, expect, test } from 'vitest'
import type { StratalogError } from '../../../src/base/errors.ts'
import { CorsPolicy } from '../../../src/server/cors.ts'

const APP = 'https://app.example.com'
const LOCAL = 'http://localhost:5173'
const ALLOW = 'access-control-allow-origin'

function refusal(given: unknown, hasTokens = true): string {
  try {
    CorsPolicy.of(given, hasTokens)
    return ''
  } catch (error) {
    expect((error as StratalogError).code).toBe('config_invalid')
    return (error as StratalogError).message
  }
}

describe('origins', () => {
  test.each([
    APP,
    LOCAL,
    'http://127.0.0.1:3000',
    'http://[::1]:3000',
    'https://xn--bcher-kva.example',
  ])('%s is one', (origin) => expect(refusal(origin)).toBe(''))

  test.each([
    ['https://app.example.com/', 'write it: https://app.example.com;'],
    ['https://app.example.com/page?x=1', 'write it: https://app.example.com;'],
    ['https://app.example.com:443', 'write it: https://app.example.com;'],
    ['HTTPS://App.Example.com', 'write it: https://app.example.com;'],
    ['https://bücher.example', 'write it: https://xn--bcher-kva.example;'],
    ['https://a@app.example.com', 'write it: https://app.example.com;'],
    ['https://*.example.com', 'without patterns'],
    ['app.example.com', 'such as https://app.example.com'],
    ['file:///page.html', 'such as https://app.example.com'],
    ['null', 'such as https://app.example.com'],
    ['', 'such as https://app.example.com'],
    [7, 'such as https://app.example.com'],
    [null, 'such as https://app.example.com'],
    [{}, 'such as https://app.example.com'],
  ])('%j is none, and what is asked for is said', (given, said) => {
    expect(refusal(given)).toContain(said)
    expect(refusal([APP, given])).toContain(said)
  })

  test('every one that is none is named', () => {
    expect(refusal(['a', APP, 'b'])).toMatch(/^2 problems .*\n.*got "a"\n.*got "b"$/)
  })

  test('* is for servers with tokens', () => {
    expect(refusal('*', true)).toBe('')
    expect(refusal('*', false)).toContain('with --tokens only')
    expect(refusal([APP, '*'], false)).toContain('with --tokens only')
  })
})

describe('answers', () => {
  test('without origins say nothing and let nobody in', () => {
    const policy = CorsPolicy.of([], true)
    for (const origin of [APP, 'null', '', undefined]) expect(policy.headersFor(origin)).toEqual({})
    expect(policy.allows(APP)).toBe(false)
  })

  test('name the origin that asks, where it is a listed one to the letter', () => {
    const policy = CorsPolicy.of([APP, LOCAL], false)
    for (const origin of [APP, LOCAL]) {
      expect(policy.allows(origin)).toBe(true)
      expect(policy.headersFor(origin)).toMatchObject({ [ALLOW]: origin, vary: 'Origin' })
    }
    for (const origin of [
      'https://app.example.com.evil.example',
      'https://evil-app.example.com',
      'http://app.example.com',
      'https://APP.example.com',
      'https://app.example.com:8443',
      `${APP}, ${APP}`,
      'http://localhost',
      'null',
      '*',
      '__proto__',
      '',
    ]) {
      expect(policy.allows(origin), origin).toBe(false)
      expect(policy.headersFor(origin), origin).toEqual({ vary: 'Origin' })
    }
    expect(policy.headersFor(undefined)).toEqual({ vary: 'Origin' })
  })

  test('of * are the same for every origin and for none', () => {
    const policy = CorsPolicy.of(['*', APP], true)
    const answer = policy.headersFor(undefined)
    expect(answer).toMatchObject({ [ALLOW]: '*' })
    expect(answer).not.toHaveProperty('vary')
    for (const origin of [APP, 'https://any.example', 'null']) {
      expect(policy.allows(origin)).toBe(true)
      expect(policy.headersFor(origin)).toEqual(answer)
    }
  })

  test('never allow credentials', () => {
    for (const policy of [CorsPolicy.of('*', true), CorsPolicy.of(APP, true)])
      expect(Object.keys(policy.headersFor(APP))).not.toContain('access-control-allow-credentials')
  })
})
