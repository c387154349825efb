// golang.org/x/oauth2 as a client of the axum example, with both client authentications. Takes the URL of the issuer.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

var failures int

func check(name string, ok bool, detail interface{}) {
	if ok {
		fmt.Println("ok  ", name)
	} else {
		fmt.Println("FAIL", name, detail)
		failures++
	}
}

func main() {
	issuer, ctx := os.Args[1], context.Background()
	for _, client := range []struct {
		id, secret string
		style      oauth2.AuthStyle
	}{{"svc", "svc-secret", oauth2.AuthStyleInHeader}, {"svc-post", "svc-post-secret", oauth2.AuthStyleInParams},
		{"svc", "svc-secret", oauth2.AuthStyleAutoDetect}} {
		name := fmt.Sprintf("golang.org/x/oauth2, style %d:", client.style)
		credentials := clientcredentials.Config{ClientID: client.id, ClientSecret: client.secret,
			TokenURL: issuer + "/oauth/token", Scopes: []string{"read"}, AuthStyle: client.style}
		token, err := credentials.Token(ctx)
		check(name+" client credentials", err == nil && token.TokenType == "Bearer" && token.Extra("scope") == "read", err)

		body := fmt.Sprintf(`{"grant_type":"client_credentials","client_id":%q,"client_secret":%q}`, client.id, client.secret)
		answer, err := http.Post(issuer+"/api/v2/auth/token", "application/json", strings.NewReader(body))
		check(name+" a refresh token", err == nil && answer.StatusCode == 200, err)
		var first struct {
			RefreshToken string `json:"refresh_token"`
		}
		json.NewDecoder(answer.Body).Decode(&first)
		config := oauth2.Config{ClientID: client.id, ClientSecret: client.secret,
			Endpoint: oauth2.Endpoint{TokenURL: issuer + "/oauth/token", AuthStyle: client.style}}
		expired := &oauth2.Token{RefreshToken: first.RefreshToken, Expiry: time.Now().Add(-time.Hour)}
		second, err := config.TokenSource(ctx, expired).Token()
		check(name+" it is rotated", err == nil && second.RefreshToken != first.RefreshToken, err)

		// It revokes nothing by itself.
		request, _ := http.NewRequest("POST", issuer+"/oauth/revoke",
			strings.NewReader(url.Values{"token": {second.RefreshToken}}.Encode()))
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(client.id, client.secret)
		answer, err = http.DefaultClient.Do(request)
		check(name+" it is revoked", err == nil && answer.StatusCode == 200, err)
		expired.RefreshToken = second.RefreshToken
		_, err = config.TokenSource(ctx, expired).Token()
		check(name+" what was revoked is refused", err != nil && strings.Contains(err.Error(), "invalid_grant"), err)
	}
	if failures > 0 {
		os.Exit(1)
	}
}
