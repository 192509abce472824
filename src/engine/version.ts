/** As in package.json, which a test compares; read from there, it would cost every start a file. */
export const PACKAGE_VERSION = '0.1.0'
