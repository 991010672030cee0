// Package testenv runs whole sites in one test: real nodes, in the test's
// process or as processes of their own, with links through proxies that can be
// cut and slowed. When a test ends, the environment checks what must hold of
// every site and every link: see [Env.check].
//
// A test package that runs sites as processes has
//
//	func TestMain(m *testing.M) { testenv.Main(m) }
//
// because the processes are the test binary itself.
package testenv
